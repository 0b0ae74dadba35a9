"""Queries of DuckDB over tables of a root: what is wrong with a table is one sentence, not DuckDB's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import pyarrow as pa

from pipelines.errors import StorageError
from pipelines.store.io_errors import as_storage_errors
from pipelines.store.parquet_file import CheckedParquetFile, as_table_errors
from pipelines.store.root import Root

# The end of a table on an object store, which holds the footer: ours has 4 kB, with spaces 20.
_TAIL_BYTES = 2**16


def check_tables(root: Root, names: Iterable[str]) -> None:
    """Check the types of tables before a query casts them; of an object store's, the footers alone are read.

    Args:
        root: of the tables.
        names: of their files.

    Raises:
        StorageError: one is missing, damaged, or has a column of another type.
    """
    if not root.is_local:
        _check_footers(root, list(names))
        return
    for name in names:
        try:
            with root.open_parquet(name):
                pass
        except FileNotFoundError as error:
            raise StorageError(f"{root.url} has no {name}; run the build again") from error


def _check_footers(root: Root, names: Sequence[str]) -> None:
    with as_storage_errors(root.url, "read"):
        paths = [root.get_path(name) for name in names]
        tails = root.fs.cat_ranges(paths, [-_TAIL_BYTES] * len(paths), [None] * len(paths), on_error="return")
        for name, path, tail in zip(names, paths, tails, strict=True):
            if isinstance(tail, FileNotFoundError):
                raise StorageError(f"{root.url} has no {name}; run the build again") from tail
            if isinstance(tail, Exception):
                raise tail
            # The length of the footer, and PAR1.
            footer_bytes = int.from_bytes(tail[-8:-4], "little") + 8
            data = tail if footer_bytes <= len(tail) else root.fs.cat_file(path, start=-footer_bytes)
            where = f"{root.url}/{name}"
            with as_table_errors(where), CheckedParquetFile(pa.BufferReader(data), where):
                pass


@contextmanager
def as_query_errors(root: Root, tables: str) -> Iterator[None]:
    """Turn DuckDB's errors of missing and damaged tables into one sentence; those of a full disk pass.

    Args:
        root: of the tables.
        tables: which of them, as in "media/*.parquet".

    Raises:
        StorageError: a table is missing or damaged.
    """
    import duckdb

    try:
        yield
    except (duckdb.Error, pa.ArrowException) as error:
        reason = " ".join(str(error).split())[:300]
        if isinstance(error, duckdb.OutOfMemoryException) or "No space left" in reason:
            raise
        raise StorageError(
            f"{tables} of {root.url} cannot be read ({reason}); see `echolens status --verify`, put back "
            "what is missing or run the build again"
        ) from error
