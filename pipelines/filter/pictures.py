"""Filters pictures that are too small or too elongated to learn from."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.filter.marking import MARKS, mark_filtered
from pipelines.stage import Batch, Work


@dataclass(frozen=True)
class FilterPictures:
    """Marks pictures by the size in which they were fetched, not that in which they are stored.

    Attributes:
        min_side_px: a shorter side below it is too small.
        max_aspect: a higher ratio of longer to shorter side is too stretched.
    """

    min_side_px: int
    max_aspect: float
    name: str = "filter"
    reads: frozenset[str] = frozenset({"original_width", "original_height", "outcome", "reason"})
    adds: frozenset[str] = MARKS

    def open(self) -> Work:
        """Return the work."""
        return self._process

    def _process(self, batch: Batch) -> Batch:
        def find_reason(row: int) -> str | None:
            sides_px = (batch["original_width"][row], batch["original_height"][row])
            short_px, long_px = min(sides_px), max(sides_px)
            if short_px < self.min_side_px:
                return "too_small"
            return "too_stretched" if long_px > self.max_aspect * short_px else None

        return mark_filtered(batch, find_reason)
