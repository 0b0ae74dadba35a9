"""One step of the flow: a description that travels, and the work it opens into on a worker."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, Protocol

from pipelines.errors import ConfigError

# Column -> one value a row. Lists, not arrays: media are bytes of any length, and most values may be None.
Batch = dict[str, list[Any]]
Work = Callable[[Batch], Batch]


class Stage(Protocol):
    """Reads columns and adds (or replaces) columns. It never removes a row: it writes an outcome.

    A stage is frozen and picklable; whatever is heavy (weights, connections) is loaded by `open()`, once
    a worker. So every stage runs in a plain test: `stage.open()(batch)`.
    """

    @property
    def name(self) -> str:
        """The word for it in progress and profiles."""
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
        """Load what the work needs and return the work."""
        ...


def check_chain(stages: Sequence[Stage], given: Collection[str]) -> frozenset[str]:
    """Return the columns there are after the last stage.

    Raises:
        ConfigError: a stage reads what no stage before it makes.
    """
    have = frozenset(given)
    for stage in stages:
        missing = sorted(stage.reads - have)
        if missing:
            raise ConfigError(
                f"stage {stage.name!r} reads {missing}, but by then the rows have only {sorted(have)}; "
                "put the stage that makes them before it"
            )
        have |= stage.adds
    return have


def count_rows(batch: Batch) -> int:
    """Return how many rows a batch has."""
    return len(next(iter(batch.values()), []))
