"""Keys of lists that say what is stored of a row: a refresh makes no row again that is there already.

A row is known by what is fetched, its start and its caption. Keys that change one of these, or which rows are
wanted, come in with a refresh; a row whose other columns changed is the same row.
"""

from __future__ import annotations

from typing import Any

from pipelines.errors import ConfigError
from pipelines.source.registry import make_lists
from pipelines.source.table.source import TableSource
from pipelines.store.dataset_file import read_dataset
from pipelines.store.root import Root
from schemas.dataset import Dataset

# Of `columns`: the others are parts of what a row is known by, or say which rows are wanted.
_STORED_COLUMNS = (
    "hash",
    "id",
    "key",
    "end_s",
    "length_s",
    "language",
    "label",
    "split",
    "licence",
    "attribution",
    "page_url",
)


def check_row_keys(root: Root, dataset: Dataset) -> None:
    """Refuse to refresh with keys that the rows of a root do not have.

    Raises:
        ConfigError: a table that is in the root already has others.
    """
    stored = read_dataset(root, dataset.root)
    before = _read_keys(stored) if stored else {}
    after = _read_keys(dataset)
    # A list that was moved is still the same.
    moved = {_get_name(place): keys for place, keys in before.items() if place not in after}
    for place, new in after.items():
        old = before.get(place) or moved.get(_get_name(place)) or new
        if changed := [key for key in new if new[key] != old[key]]:
            these = " and ".join(changed)
            raise ConfigError(
                f"list {place}: {these} of {root.url} cannot be changed by a refresh, which leaves the rows "
                f"that are there as they are; set {'it' if len(changed) == 1 else 'them'} back, or build "
                "into another root"
            )


def _get_name(place: str) -> str:
    return place.rstrip("/").rpartition("/")[2]


def _read_keys(dataset: Dataset) -> dict[str, dict[str, Any]]:
    """Return the place of a table -> those of its keys that say what is stored of a row."""
    tables, found = tuple(source for source in dataset.sources if source.kind == "table"), {}
    for table in make_lists(dataset.model_copy(update={"sources": tables})):
        if isinstance(table, TableSource):
            columns = table.columns.model_dump(mode="json")
            found[table.list] = {"keep": table.model_dump(mode="json")["keep"]} | {
                f"columns.{name}": columns[name] for name in _STORED_COLUMNS
            }
    return found
