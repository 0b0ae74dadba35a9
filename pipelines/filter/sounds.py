"""Filters clips whose sound is too short, silent or clipped."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.filter.marking import MARKS, mark_filtered
from pipelines.stage import Batch, Work


@dataclass(frozen=True)
class FilterSounds:
    """Marks clips that are too short without their padding, silent, or clipped.

    Clipped samples lie at full scale: 0 % in the miniature world's sounds, whose peaks are below it; 0.01 to
    9 % in the same sounds 18 dB too loud, over 2 % in half of them.

    Attributes:
        min_length_s: less sound is too short.
        silence_dbfs: a lower peak is silence.
        max_full_scale_share: a higher share of samples at full scale is clipping; 1 disables the filter.
    """

    min_length_s: float
    silence_dbfs: float
    max_full_scale_share: float = 1.0
    name: str = "filter"
    reads: frozenset[str] = frozenset({"sound_s", "peak_dbfs", "full_scale_share", "outcome", "reason"})
    adds: frozenset[str] = MARKS

    def open(self) -> Work:
        """Return the work."""
        return self._process

    def _process(self, batch: Batch) -> Batch:
        def find_reason(row: int) -> str | None:
            if batch["sound_s"][row] < self.min_length_s:
                return "too_short"
            peak_dbfs = batch["peak_dbfs"][row]
            if peak_dbfs is None or peak_dbfs < self.silence_dbfs:
                return "silent"
            return "clipped" if batch["full_scale_share"][row] > self.max_full_scale_share else None

        return mark_filtered(batch, find_reason)
