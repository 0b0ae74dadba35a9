"""The table of training pairs, with its parts: what is trained on, validated on and tested on.

Shapes: N pairs, I dimensions of the source, O of the target.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from pipelines.store.splits import TEST, TRAIN, VALIDATION
from pipelines.train.near_vectors import find_near_rows
from schemas.mining import MinedPairs
from schemas.space import Space
from schemas.split_hashes import GroupCounts

# Validation pairs at most: the standard error of a mean cosine is then below 0.002.
VALIDATION_ROWS = 10_000


@dataclass
class PairTable:
    """All pairs of a data set.

    Attributes:
        source_space: of `source_NI`.
        target_space: of `target_NO`.
        source_NI: float16, in memory or mapped from a file.
        target_NO: likewise.
        part_N: TRAIN, VALIDATION or TEST, uint8; 255 of dropped pairs.
        labels_N: hash of the row's label, uint64; 0 where the list has none.
        groups_N: group of near copies, int64; every pair is one of its own if empty.
        directions: `from -> to` of the kinds of pairs of a mix.
        direction_N: which of them a pair is of, uint8; all are of the first if empty.
        licences: licence, as the lists say -> pairs.
        dropped: reason -> unusable pairs.
        counts: of the groups of all rows; None if they were not read from a version.
        leak_rule: how held-out pairs were compared with those trained on, beyond their groups.
        is_text_N: whether the target is a caption's vector, bool; all are if empty.
        mined: of how many the targets are those of other rows; None if none was to be mined.
    """

    source_space: Space
    target_space: Space
    source_NI: np.ndarray
    target_NO: np.ndarray
    part_N: np.ndarray
    labels_N: np.ndarray
    licences: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    groups_N: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    directions: tuple[str, ...] = ("",)
    direction_N: np.ndarray = field(default_factory=lambda: np.empty(0, np.uint8))
    counts: GroupCounts | None = None
    leak_rule: str = "none"
    is_text_N: np.ndarray = field(default_factory=lambda: np.empty(0, bool))
    mined: MinedPairs | None = None

    def __post_init__(self) -> None:
        if not len(self.groups_N):
            self.groups_N = np.arange(len(self.part_N))
        if not len(self.direction_N):
            self.direction_N = np.zeros(len(self.part_N), np.uint8)
        if not len(self.is_text_N):
            self.is_text_N = np.ones(len(self.part_N), bool)

    @property
    def dims(self) -> tuple[int, int]:
        """The dimensions of sources and targets."""
        return self.source_space.dims, self.target_space.dims

    def find_rows(self, part: int) -> np.ndarray:
        """Return the row numbers of a part, int64."""
        return np.flatnonzero(self.part_N == part)

    def sample_rows(self, part: int, most: int) -> np.ndarray:
        """Return the row numbers of a part, int64, ascending; of more than `most` a seeded sample.

        Args:
            part: TRAIN, VALIDATION or TEST.
            most: rows at most. Lists have an order: their first rows do not stand for all.
        """
        rows = self.find_rows(part)
        if len(rows) <= most:
            return rows
        return np.sort(np.random.default_rng(part).choice(rows, most, replace=False))

    def get_pairs(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the pairs of rows, float32 `[n, I]` and `[n, O]`."""
        return self.source_NI[rows].astype(np.float32), self.target_NO[rows].astype(np.float32)


_DROPPED = 255


def drop_leaked(table: PairTable, leak_cosine: float) -> None:
    """Drop held-out pairs whose source is nearly one that they are not to know, in another group.

    Those of the test part are compared with the others, those of validation with what is trained on.

    Args:
        table: whose parts change, and which then names the rule.
        leak_cosine: from which two sources are the same.
    """
    leaked = np.zeros(len(table.part_N), dtype=bool)
    rules = set()
    for part, others in ((VALIDATION, (TRAIN,)), (TEST, (TRAIN, VALIDATION))):
        known, held = np.flatnonzero(np.isin(table.part_N, others)), table.find_rows(part)
        if not len(known) or not len(held):
            continue
        leaked[held], rule = find_near_rows(table.source_NI, held, known, leak_cosine)
        rules.add("equal sources" if rule == "equal" else f"cosine of sources from {leak_cosine:g}")
    table.part_N = np.where(leaked, np.uint8(_DROPPED), table.part_N)
    table.dropped["leaked"] += int(leaked.sum())
    table.leak_rule = ", ".join(sorted(rules)) or "none"
