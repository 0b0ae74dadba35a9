"""Clips that have too little sound."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.filter.marking import MARKS, marked
from pipelines.stage import Batch, Work


@dataclass(frozen=True)
class FilterSounds:
    """Marks clips that are too short before the silence that fills them up, or nowhere loud enough.

    Attributes:
        min_length_s: less sound is too short.
        silence_dbfs: a peak below it is silence.
    """

    min_length_s: float
    silence_dbfs: float
    name: str = "filter"
    reads: frozenset[str] = frozenset({"sound_s", "peak_dbfs", "outcome", "reason"})
    adds: frozenset[str] = MARKS

    def open(self) -> Work:
        """Return the work."""
        return self._work

    def _work(self, batch: Batch) -> Batch:
        def reason_of(row: int) -> str | None:
            if batch["sound_s"][row] < self.min_length_s:
                return "too_short"
            peak_dbfs = batch["peak_dbfs"][row]
            return "silent" if peak_dbfs is None or peak_dbfs < self.silence_dbfs else None

        return marked(batch, reason_of)
