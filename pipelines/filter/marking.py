"""Marks rows as filtered; of several filters, the first one's reason is kept."""

from __future__ import annotations

from collections.abc import Callable

from pipelines.stage import Batch
from schemas.outcome import as_img2dataset, make_outcome

MARKS = frozenset({"outcome", "reason", "status", "error_message"})


def mark_filtered(batch: Batch, find_reason: Callable[[int], str | None]) -> Batch:
    """Return the batch with unwanted rows marked as filtered.

    Args:
        batch: any rows; those that are not ok are left unchanged.
        find_reason: takes a row's position; returns a reason of `filtered`, or None for a row that passes.
    """
    count = len(batch["outcome"])
    columns = {name: list(batch.get(name, [None] * count)) for name in MARKS}
    for row, status in enumerate(batch["outcome"]):
        reason = find_reason(row) if status == "ok" else None
        if reason:
            outcome = make_outcome("filtered", reason)
            columns["outcome"][row], columns["reason"][row] = outcome
            columns["status"][row], columns["error_message"][row] = as_img2dataset(outcome)
    return batch | columns
