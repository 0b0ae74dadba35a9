"""Media in the cells of a Parquet file: read where they lie, one after the other, and never a whole table.

Rows of a shard follow each other in their table, so a cell is mostly the next one of an open reader. The file
of a bucket is copied to this machine once, to a temporary file.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from tempfile import NamedTemporaryFile

import fsspec
import pyarrow as pa

from pipelines.errors import DamagedTableError, UnreadableMediaError
from pipelines.store.parquet_stream import ByteColumn
from schemas.outcome import make_outcome

# Tables that a process keeps open. Four shards in flight lie in as many tables at most.
_OPEN_TABLES = 4
_OPEN_READERS = 4
# Requests of a shard come nearly in order, `fetch.connections` of them at once: what one passes, others want.
_PASSED_ROWS = 256
_PASSED_BYTES = 64 << 20

_opening = threading.Lock()


def read(file: str, state: str, column: str, row: int, max_bytes: int) -> bytes:
    """Return the bytes of a cell.

    Args:
        file: a path or an fsspec URL.
        state: its time or ETag; part of the cache's key, so that a rewritten table is opened again.
        column: of bytes, or of structures with `bytes`.
        row: of the file, from 0.
        max_bytes: of the cell.

    Raises:
        FileNotFoundError: there is no such column or row.
        UnreadableMediaError: the cell is empty or larger.
        DamagedTableError: the table is none, or unpacks to far more than it has.
    """
    try:
        with _opening:
            table = _open(file, state, column)
        data = table.read(row)
    except pa.ArrowException as error:
        raise DamagedTableError(str(error)) from error
    if not data:
        raise UnreadableMediaError(make_outcome("invalid", "empty"))
    if len(data) > max_bytes:
        raise UnreadableMediaError(make_outcome("invalid", "too_many_bytes"))
    return data


@lru_cache(maxsize=_OPEN_TABLES)
def _open(file: str, state: str, column: str) -> _OpenTable:  # noqa: ARG001 - part of the cache's key
    return _OpenTable(file, column)


@dataclass
class _Reader:
    """A reader within a row group: the row that it yields next, and the end of the group."""

    next: int
    end: int
    cells: Iterator[bytes | None]


class _OpenTable:
    def __init__(self, file: str, column: str) -> None:
        fs, path = fsspec.core.url_to_fs(file)
        if "file" not in fs.protocol:
            # Arrow would need all of it in memory, or a Python file: see Root.open_parquet.
            self._copy = NamedTemporaryFile(prefix="echolens-", suffix=".parquet")  # noqa: SIM115
            fs.get_file(path, self._copy.name)
            path = self._copy.name
        self._column = ByteColumn(path, column)
        self._readers: list[_Reader] = []
        self._passed: OrderedDict[int, bytes | None] = OrderedDict()
        self._passed_bytes = 0
        self._lock = threading.Lock()

    def read(self, row: int) -> bytes | None:
        """Return a cell; None for a null."""
        with self._lock:
            if row in self._passed:
                data = self._passed.pop(row)
                self._passed_bytes -= len(data or b"")
                return data
            reader = self._find_reader(row)
            for cell in reader.cells:
                at, reader.next = reader.next, reader.next + 1
                if at == row:
                    return cell
                if row - at <= _PASSED_ROWS:
                    self._keep(at, cell)
        raise DamagedTableError("it ends before its last row")

    def _find_reader(self, row: int) -> _Reader:
        """Return the reader that is the least way before a row, now the last of those that are kept."""
        before = [each for each in self._readers if each.next <= row < each.end]
        if before:
            found = max(before, key=lambda each: each.next)
            self._readers.remove(found)
        else:
            first, end, cells = self._column.open_group(row)
            found = _Reader(first, end, cells)
        self._readers = [*self._readers[1 - _OPEN_READERS :], found]
        return found

    def _keep(self, row: int, cell: bytes | None) -> None:
        self._passed[row] = cell
        self._passed_bytes += len(cell or b"")
        while self._passed_bytes > _PASSED_BYTES:
            self._passed_bytes -= len(self._passed.popitem(last=False)[1] or b"")
