"""Filters clips whose picture does not move: slide shows, and covers with a sound."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.filter.marking import MARKS, mark_filtered
from pipelines.stage import Batch, Work


@dataclass(frozen=True)
class FilterFrames:
    """Marks clips whose four frames are one picture. Clips without a picture are ignored.

    A still picture in H.264 or MPEG-4 of a low bit rate changes by at most 1; the clips of the miniature
    world, whose camera circles a little, by at least 82.

    Attributes:
        min_frame_change: frames that differ by less are still; 0 disables the filter.
    """

    min_frame_change: float
    name: str = "filter"
    reads: frozenset[str] = frozenset({"frame_change", "outcome", "reason"})
    adds: frozenset[str] = MARKS

    def open(self) -> Work:
        """Return the work."""
        return self._process

    def _process(self, batch: Batch) -> Batch:
        def find_reason(row: int) -> str | None:
            change = batch["frame_change"][row]
            return "still" if change is not None and change < self.min_frame_change else None

        return mark_filtered(batch, find_reason)
