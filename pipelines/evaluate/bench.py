"""What a way has to work with, and what it makes of the rows.

A way comes in by a file of `ways/` that offers it, as in `WAYS = {"caption": make_caption_way}`. It checks
its argument when it is made, before any work; it crosses later, in a process of its own.

Shapes: N scored rows, D dimensions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol

import numpy as np

from pipelines.evaluate.evaluation_set import EvaluationSet, Part
from pipelines.generate.generator import ChosenGenerator
from pipelines.store.root import Root
from schemas.encoders import Encode
from schemas.evaluation import DIRECTIONS, Direction, split_direction
from schemas.families import Column, get_family
from schemas.generated import ModelRef
from schemas.media import Medium
from schemas.space import Space

# What follows a crossing: the media themselves, an item of the gallery, or whatever its vectors lead to.
Follow = Literal["real", "picked", "output"]
# What a way makes of a row: a vector in the family of the target, a text, or the vector of a source.
Makes = Literal["vectors", "texts", "sources"]
_PARTS: tuple[Part, ...] = ("scored", "gallery")


@dataclass(frozen=True, eq=False)
class Bench:
    """The direction, its two columns, and the models that are there.

    Attributes:
        direction: of all ways.
        source: the column of the rows that are crossed from.
        target: the column of what is crossed to.
        spaces: of all columns of the set.
        encode: the encoders of these columns.
        root: of the dataset, with its translators; None of the miniature world.
        generators: that make the target medium where a way names none, the usual one first.
        seed: of weights that are drawn.
    """

    direction: Direction
    source: Column
    target: Column
    spaces: Mapping[Column, Space]
    encode: Encode
    root: Root | None
    generators: tuple[ChosenGenerator, ...]
    seed: int

    @property
    def medium(self) -> Medium:
        """The medium that is crossed to."""
        return split_direction(self.direction)[1]

    def reverse(self) -> Bench:
        """Return the way back: from the target column to the source, with no generators."""
        source, target = split_direction(self.direction)
        back = next((each for each in DIRECTIONS if each == f"{target}->{source}"), self.direction)
        return replace(self, direction=back, source=self.target, target=self.source, generators=())

    def is_in_target(self, space: Space) -> bool:
        """Return whether vectors of a space may be compared with those of the target column."""
        return space.is_comparable(self.spaces[self.target])

    def find_text_column(self, column: Column) -> Column | None:
        """Return the column of captions in the family of another column; None if there is none."""
        text = f"{get_family(column)}_text"
        return text if text in self.spaces else None


@dataclass(frozen=True, eq=False)
class Crossing:
    """What a way made of the rows.

    Attributes:
        units_ND: their vectors in the family of the target, float32; None where there are none.
        column: that these vectors are like: the target column, or its family's captions.
        texts: captions that stand for the rows; None where vectors do.
        picked_N: rows of the gallery; None unless it chose some.
        sources_ND: vectors of the source for a generator that reads them, which have no cosine to the target;
            None for others.
    """

    units_ND: np.ndarray | None = None
    column: Column | None = None
    texts: Sequence[str] | None = None
    picked_N: np.ndarray | None = None
    sources_ND: np.ndarray | None = None


class Way(Protocol):
    """A way to cross. Picklable."""

    @property
    def follow(self) -> Follow:
        """What comes after it."""
        ...

    @property
    def makes(self) -> Makes:
        """What it makes, which decides the generators that can follow it."""
        ...

    @property
    def columns(self) -> tuple[Column, ...]:
        """Columns that have a part in it; a judge of their spaces is not independent."""
        ...

    @property
    def models(self) -> tuple[ModelRef, ...]:
        """Models that have a part in it; a judge of their spaces is not independent."""
        ...

    def cross(self, rows: EvaluationSet, bench: Bench) -> Crossing:
        """Return what it makes of all scored rows."""
        ...


@dataclass(frozen=True, eq=False)
class PlannedWay:
    """A way as the command names it, and what follows it.

    Attributes:
        name: on the command line.
        way: that crosses.
        generator: makes the output; None where nothing is generated.
        output: the word for it in the table.
    """

    name: str
    way: Way
    generator: ChosenGenerator | None
    output: str


def pick_nearest(units_ND: np.ndarray, rows: EvaluationSet, column: Column) -> np.ndarray:
    """Return the nearest row of the gallery for every scored row, int64 [N]; of equals the first.

    A row's own group is never picked: where trained rows are scored, too, each would find itself.

    Args:
        units_ND: vectors of the scored rows.
        rows: of both parts.
        column: of the gallery; a row without a vector is never the nearest.
    """
    gallery_GD = rows.get_vectors("gallery", column)
    groups_N, groups_G = (rows.get_rows(part).groups_N for part in _PARTS)
    known_G = np.isfinite(gallery_GD).all(1)
    may_NG = known_G[None] & (groups_N[:, None] != groups_G[None])
    cosines_NG = np.nan_to_num(units_ND) @ np.nan_to_num(gallery_GD).T
    return np.asarray(np.where(may_NG, cosines_NG, -np.inf).argmax(1))
