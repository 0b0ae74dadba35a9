"""How a filter says that it does not want a row: the first filter's reason stays."""

from __future__ import annotations

from collections.abc import Callable

from pipelines.stage import Batch
from schemas.outcome import as_img2dataset, make_outcome

MARKS = frozenset({"outcome", "reason", "status", "error_message"})


def mark_filtered(batch: Batch, reason_of: Callable[[int], str | None]) -> Batch:
    """Return the batch with the rows marked that a filter does not want.

    Args:
        batch: any rows; those that are not ok are left alone.
        reason_of: from a row's position to a reason of `filtered`, or None for a row that stays.
    """
    count = len(batch["outcome"])
    columns = {name: list(batch.get(name, [None] * count)) for name in MARKS}
    for row, status in enumerate(batch["outcome"]):
        reason = reason_of(row) if status == "ok" else None
        if reason:
            became = make_outcome("filtered", reason)
            columns["outcome"][row], columns["reason"][row] = became
            columns["status"][row], columns["error_message"][row] = as_img2dataset(became)
    return batch | columns
