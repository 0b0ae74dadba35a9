"""Parameters that name rows of the dataset: the driver reads their media, and no worker needs the dataset.

A spec with such parameters has `fill_params(params, media)`, which returns them with what it made of the
rows, or says what is wrong with them before anything is written.
"""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

from pydantic import BaseModel

from pipelines.lookup.media import MediaReader
from pipelines.lookup.rows import VersionRows
from pipelines.store.root import Root
from schemas.version import Version

P = TypeVar("P", bound=BaseModel)


class RowReadingSpec(Protocol):
    """A spec whose parameters may name rows, or words that only its weights know."""

    def has_row_params(self, params: Any) -> bool:
        """Return whether they do."""
        ...

    def fill_params(self, params: Any, media: MediaReader) -> Any:
        """Return them with what it made of the rows' media.

        Raises:
            NoSuchRowError: there is no such row, or it lacks the medium.
            ConfigError: its weights do not know a word.
        """
        ...


def has_row_params(spec: Any, params: BaseModel) -> bool:
    """Return whether the parameters of a generator name what only the driver can look up."""
    own = getattr(spec, "has_row_params", None)
    return own is not None and bool(own(params))


def fill_params(spec: Any, params: P, root: Root, shard_rows: int, version: Version) -> P:
    """Return the parameters of a generator with what it makes of the rows that they name.

    Args:
        spec: of the generator.
        params: of it.
        root: of the dataset.
        shard_rows: of it.
        version: whose rows.

    Raises:
        NoSuchRowError: there is no such row, or it lacks the medium.
    """
    rows = VersionRows(root, version, shard_rows)
    filled: P = spec.fill_params(params, MediaReader(rows))
    return filled
