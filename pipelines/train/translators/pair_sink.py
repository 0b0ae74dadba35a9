"""Collects the pairs of all shards into one table, in memory or in two files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from pipelines.errors import SpaceError
from pipelines.train.translators.pairs import PairTable
from schemas.mining import MinedPairs
from schemas.space import Space
from schemas.split_hashes import GroupCounts
from schemas.training import PairSource


class PairSink:
    """The pairs that were read so far, of which a table is made at the end.

    Attributes:
        count: pairs.
        dropped: reason -> unusable pairs.
        licences: licence, as the lists say -> pairs.
        mined: of the members of the mix whose targets are mined.
    """

    def __init__(self, scratch: Path | None) -> None:
        self.count = 0
        self.dropped: Counter[str] = Counter()
        self.licences: Counter[str] = Counter()
        self.mined: list[MinedPairs] = []
        self._spaces: tuple[Space, Space] | None = None
        self._chunks: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
        self._files: list[BinaryIO] = []
        if scratch:
            self._files = [(scratch / name).open("wb") for name in ("source.f16", "target.f16")]
        self._columns: list[dict[str, np.ndarray]] = []
        self._directions: list[str] = []

    def check_spaces(self, pairs: PairSource, source: Space, target: Space) -> None:
        """Check that all shards and all members of a mix are in the same two spaces."""
        self._spaces = self._spaces or (source, target)
        for column, space, first in zip(
            (pairs.source, pairs.target), (source, target), self._spaces, strict=True
        ):
            if space != first:
                raise SpaceError(
                    f"{column} is in {space} here and the pairs before it in {first} "
                    f"({space.describe_differences(first)}); mix pairs of the same two spaces"
                )

    def mark_directions(self, pairs: PairSource, count: int) -> np.ndarray:
        """Return the number of the kind of these pairs, once for each."""
        if (direction := pairs.direction) not in self._directions:
            self._directions.append(direction)
        return np.full(count, self._directions.index(direction), np.uint8)

    def add(self, source_NI: np.ndarray, target_NO: np.ndarray, columns: dict[str, np.ndarray]) -> None:
        """Add pairs, with what else a table has of each."""
        for side, vectors in enumerate((source_NI, target_NO)):
            if self._files:
                self._files[side].write(np.ascontiguousarray(vectors, np.float16).tobytes())
            else:
                self._chunks[side].append(vectors.astype(np.float16))
        self._columns.append(columns)
        self.count += len(source_NI)

    def _join(self, name: str) -> np.ndarray:
        return np.concatenate([each[name] for each in self._columns])

    def make_table(self, counts: GroupCounts) -> PairTable:
        """Return the table of all pairs; `counts` is of the groups of the version."""
        assert self._spaces is not None
        for file in self._files:
            file.close()
        source_NI, target_NO = (
            np.memmap(self._files[side].name, np.float16, "r").reshape(self.count, space.dims)
            if self._files
            else np.concatenate(self._chunks[side])
            for side, space in enumerate(self._spaces)
        )
        return PairTable(
            *self._spaces,
            source_NI,
            target_NO,
            part_N=self._join("part_N"),
            labels_N=self._join("labels_N"),
            groups_N=self._join("groups_N"),
            direction_N=self._join("direction_N"),
            directions=tuple(self._directions),
            licences=self.licences,
            dropped=self.dropped,
            counts=counts,
            is_text_N=self._join("is_text_N"),
            mined=_sum_mined(self.mined) if self.mined else None,
        )


def _sum_mined(parts: Sequence[MinedPairs]) -> MinedPairs:
    pairs = sum(part.pairs for part in parts)
    return MinedPairs(
        pairs=pairs,
        score=sum(part.score * part.pairs for part in parts) / max(pairs, 1),
        too_far=sum(part.too_far for part in parts),
        bank=max(part.bank for part in parts),
        held_back=max(part.held_back for part in parts),
    )
