"""Clips that have too little sound, or too loud a one."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.filter.marking import MARKS, mark_filtered
from pipelines.stage import Batch, Work


@dataclass(frozen=True)
class FilterSounds:
    """Marks clips that are too short before the silence that fills them up, nowhere loud enough, or clipped.

    What was louder than full scale lies at full scale: of the miniature world's sounds, whose peaks are
    below it, 0 %; of the same sounds 18 dB too loud, 0.01 to 9 %, half of them over 2 %.

    Attributes:
        min_length_s: less sound is too short.
        silence_dbfs: a peak below it is silence.
        max_full_scale_share: more samples at full scale are clipped; 1 lets everything pass.
    """

    min_length_s: float
    silence_dbfs: float
    max_full_scale_share: float = 1.0
    name: str = "filter"
    reads: frozenset[str] = frozenset({"sound_s", "peak_dbfs", "full_scale_share", "outcome", "reason"})
    adds: frozenset[str] = MARKS

    def open(self) -> Work:
        """Return the work."""
        return self._work

    def _work(self, batch: Batch) -> Batch:
        def reason_of(row: int) -> str | None:
            if batch["sound_s"][row] < self.min_length_s:
                return "too_short"
            peak_dbfs = batch["peak_dbfs"][row]
            if peak_dbfs is None or peak_dbfs < self.silence_dbfs:
                return "silent"
            return "clipped" if batch["full_scale_share"][row] > self.max_full_scale_share else None

        return mark_filtered(batch, reason_of)
