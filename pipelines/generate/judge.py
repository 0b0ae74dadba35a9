"""The judge of generated samples: a tower of the dataset that embeds their files.

Shapes: M candidates, D dimensions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipelines.encode.encoder import EncoderSpec, Tower, encode, get_tower
from pipelines.errors import UndecodableMediaError
from schemas.families import Modality


@dataclass(frozen=True)
class Judge:
    """An encoder and which of its towers judges; verified to be of the space that conditions a generator."""

    spec: EncoderSpec
    modality: Modality


class SampleScorer:
    """A tower that embeds the files of samples.

    Args:
        judge: whose tower.
        fallback: value of all coordinates of a file that the tower cannot decode.
    """

    def __init__(self, judge: Judge, fallback: float = np.nan) -> None:
        self._tower: Tower = get_tower(judge.spec, judge.modality)
        self._is_text = judge.modality == "text"
        space = judge.spec.space
        self._batch_rows, self._dims, self._fallback = space.batch_rows, space.dims, fallback

    def embed(self, files: Sequence[bytes | None]) -> np.ndarray:
        """Return the unit vector of each file, float32 [M, D]; `fallback` where there is none."""
        pieces: dict[int, np.ndarray] = {}
        for number, file in enumerate(files):
            try:
                if file is not None:
                    pieces[number] = self._tower.prepare(file.decode() if self._is_text else file)
            except UndecodableMediaError:
                continue
        units_MD = np.full((len(files), self._dims), self._fallback, np.float32)
        if pieces:
            units_MD[[*pieces]] = encode(self._tower, [*pieces.values()], self._batch_rows)[0]
        return units_MD
