"""What is scored: rows that nothing was trained on, and a gallery of training rows to look things up in.

A set comes in by a file of `row_sets/`. It is described by little, and drawn or read where it is needed:
workers get the description.

Shapes: N rows, D dimensions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np

from schemas.evaluation import Direction
from schemas.families import Column
from schemas.media import Medium
from schemas.space import Space

# The rows that are scored, and the training rows that ways may look things up in.
Part = Literal["scored", "gallery"]
GALLERY_ROWS = 1_000


@dataclass(frozen=True, eq=False)
class LabelSets:
    """Labels that others gave the rows, several a row.

    Attributes:
        labels: of every row, those that are audible and visible; empty where there is none.
        still_N: bool, whether a row's film is one still picture.
    """

    labels: Sequence[frozenset[str]]
    still_N: np.ndarray

    def take(self, rows: np.ndarray) -> LabelSets:
        """Return those of some rows."""
        return LabelSets([self.labels[row] for row in rows.tolist()], self.still_N[rows])

    def count_labelled(self) -> int:
        """Return how many rows have a label."""
        return sum(map(bool, self.labels))


@dataclass(frozen=True, eq=False)
class SetRows:
    """The rows of a part, in their order.

    Attributes:
        ids: one a row; the seeds of what is generated are derived from them.
        groups_N: what is never split, int64: rows of one group are no independent draws.
        captions: one a row.
        labels: one a row; None where nothing is known.
        combinations: of the attributes that cross, one a row; None where nothing is known.
        truth: attribute -> its value, one a row; empty where nothing is known.
        label_sets: of several labels a row; None where nobody asks for them.
    """

    ids: Sequence[str]
    groups_N: np.ndarray
    captions: Sequence[str]
    labels: Sequence[str] | None = None
    combinations: Sequence[str] | None = None
    truth: Mapping[str, np.ndarray] = field(default_factory=dict)
    label_sets: LabelSets | None = None

    def compute_sha256(self) -> str:
        """Return a digest of the ids, in their order."""
        return hashlib.sha256("\n".join(self.ids).encode()).hexdigest()

    def count_combinations(self) -> int | None:
        """Return how many different combinations there are; None where nothing is known."""
        return None if self.combinations is None else len(set(self.combinations))


class MediaSource(Protocol):
    """Gives the media of a set's rows. Picklable: workers read with it."""

    def read_media(self, part: Part, medium: Medium, rows: Sequence[int]) -> list[bytes]:
        """Return the file of each of some rows: a picture, a sound, or the UTF-8 of a caption."""
        ...


class EvaluationSet(MediaSource, Protocol):
    """The rows of one direction, as the driver has them."""

    @property
    def direction(self) -> Direction:
        """Of the rows."""
        ...

    @property
    def name(self) -> str:
        """Their name in a table."""
        ...

    @property
    def split(self) -> str:
        """Which rows they are."""
        ...

    def get_rows(self, part: Part) -> SetRows:
        """Return the rows of a part."""
        ...

    def get_spaces(self) -> Mapping[Column, Space]:
        """Return the space of every column that the rows have vectors in."""
        ...

    def get_vectors(self, part: Part, column: Column) -> np.ndarray:
        """Return unit vectors of all rows of a part, float32 [N, D]; NaN where a row has none."""
        ...
