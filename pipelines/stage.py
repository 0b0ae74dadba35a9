"""One step of the pipeline: a picklable description, and the work that it opens into on a worker."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, Protocol

from pipelines.errors import ConfigError

# Column -> one value per row. Lists, not arrays: media are bytes of any length, and most values may be None.
Batch = dict[str, list[Any]]
Work = Callable[[Batch], Batch]


class Stage(Protocol):
    """Reads columns and adds (or replaces) columns. It never removes a row: it writes an outcome.

    A stage is frozen and picklable; heavy state (weights, connections) is loaded by `open()`, once
    per worker. So every stage runs in a plain test: `stage.open()(batch)`.
    """

    @property
    def name(self) -> str:
        """The name in progress lines and profiles."""
        ...

    @property
    def reads(self) -> frozenset[str]:
        """Columns it needs."""
        ...

    @property
    def adds(self) -> frozenset[str]:
        """Columns it adds or replaces."""
        ...

    def open(self) -> Work:
        """Load the heavy state and return the work."""
        ...


def check_chain(stages: Sequence[Stage], columns: Collection[str]) -> frozenset[str]:
    """Return the columns after the last stage.

    Args:
        stages: in their order.
        columns: before the first stage.

    Raises:
        ConfigError: a stage reads a column that no earlier stage adds.
    """
    current = frozenset(columns)
    for stage in stages:
        missing = sorted(stage.reads - current)
        if missing:
            raise ConfigError(
                f"stage {stage.name!r} reads {missing}, but by then the rows have only {sorted(current)}; "
                "put the stage that makes them before it"
            )
        current |= stage.adds
    return current


def count_rows(batch: Batch) -> int:
    """Return the number of rows of a batch."""
    return len(next(iter(batch.values()), []))
