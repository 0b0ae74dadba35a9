"""The set `miniature`: scenes of the miniature world with their vectors by the pocket encoders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from pipelines.encode.encoder import EncoderSpec
from pipelines.evaluate.evaluation_set import Part, SetRows
from pipelines.evaluate.row_sets.drawing import COLUMNS
from pipelines.evaluate.row_sets.scenes import MiniatureScenes
from schemas.evaluation import Direction
from schemas.families import Column, get_family
from schemas.media import Medium
from schemas.space import Space

MINIATURE = "miniature"


@dataclass(frozen=True, eq=False)
class MiniatureSet:
    """The scenes of one direction.

    Attributes:
        scenes: of both parts.
        specs: family -> encoder.
        vectors: of both parts, by part and column.
        name: in tables.
        split: of its rows.
    """

    scenes: MiniatureScenes
    specs: Mapping[str, EncoderSpec]
    vectors: Mapping[tuple[Part, Column], np.ndarray]
    name: str = field(default=MINIATURE, init=False)
    split: str = field(default="heldout", init=False)

    @property
    def direction(self) -> Direction:
        """Of the scenes."""
        return self.scenes.direction

    def get_rows(self, part: Part) -> SetRows:
        """Return the rows of a part."""
        return self.scenes.tables[part]

    def get_spaces(self) -> Mapping[Column, Space]:
        """Return the spaces of the pocket encoders."""
        return {column: self.specs[get_family(column)].space for column in COLUMNS}

    def get_vectors(self, part: Part, column: Column) -> np.ndarray:
        """Return the vectors of all rows of a part, float32 [N, D]."""
        return self.vectors[part, column]

    def read_media(self, part: Part, medium: Medium, rows: Sequence[int]) -> list[bytes]:
        """Draw the media of some rows."""
        return self.scenes.read_media(part, medium, rows)
