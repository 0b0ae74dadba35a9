"""Parquet files of lists, read a batch at a time: of any size and any columns, and bounded by the batch.

Media in their cells are read one by one.

A text that is repeated is stored once, so a file of 100 kB can hold ten thousand texts of a megabyte. Texts
are therefore read as they are stored, and only then spread over their rows, if these fit into memory.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.errors import DamagedTableError
from pipelines.store.parquet_pages import PageBounds, check_pages

# In memory. A batch of 10,000 rows of the longest captions that a plan takes has 640 MB; of usual ones, 2.
_MAX_BATCH_BYTES = 2**29
# Of the footer: an honest one of 100,000 row groups has some 50 MB.
_MAX_FOOTER_STRING = 64 * 2**20
# Items of the lists of a row group, which may all be in one row: a million rows of 64.
_MAX_GROUP_ITEMS = 2**26


# Media are compressed already; what unpacks to more than this many times its size was made to fill memory.
_MAX_RATIO = 200
_ANY_BYTES = 2**28


def has_bytes(kind: pa.DataType) -> bool:
    """Return whether the cells of a type are bytes, or structures with `bytes`, as on the Hub."""
    if pa.types.is_struct(kind):
        return any(field.name == "bytes" and has_bytes(field.type) for field in kind)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


class ByteColumn:
    """The cells of a column of bytes, or of structures with `bytes`, read one at a time.

    Args:
        path: of a Parquet file of this machine.
        column: its name.

    Raises:
        FileNotFoundError: there is no such column, or it holds no bytes.
        pa.ArrowInvalid: it is no Parquet file.
    """

    def __init__(self, path: str, column: str) -> None:
        # Buffered: a page at a time is in memory, not the column of a row group.
        self._file = pq.ParquetFile(
            path, thrift_string_size_limit=_MAX_FOOTER_STRING, buffer_size=1 << 20, pre_buffer=False
        )
        at = self._file.schema_arrow.get_field_index(column)
        if at < 0 or not has_bytes(kind := self._file.schema_arrow.field(at).type):
            raise FileNotFoundError(f"no column of bytes {column!r}")
        self._name, self._leaf = column, f"{column}.bytes" if pa.types.is_struct(kind) else column
        groups = self._file.metadata.num_row_groups
        sizes = (self._file.metadata.row_group(group).num_rows for group in range(groups))
        self._ends = [*accumulate(sizes)]

    def open_group(self, row: int) -> tuple[int, int, Iterator[bytes | None]]:
        """Return the first row of the row group of a row, the row behind its last, and its cells in order.

        Raises:
            FileNotFoundError: there is no such row.
            DamagedTableError: the group unpacks to far more than it has.
        """
        group = bisect_right(self._ends, row)
        if group == len(self._ends):
            raise FileNotFoundError(f"no row {row}")
        found = self._file.metadata.row_group(group)
        chunks = [found.column(number) for number in range(found.num_columns)]
        chunk = next(each for each in chunks if each.path_in_schema == self._leaf)
        if chunk.total_uncompressed_size > max(_ANY_BYTES, _MAX_RATIO * chunk.total_compressed_size):
            raise DamagedTableError(f"{self._leaf!r} unpacks to more than {_MAX_RATIO} times its size")
        return self._ends[group] - found.num_rows, self._ends[group], self._iterate(group)

    def _iterate(self, group: int) -> Iterator[bytes | None]:
        batches = self._file.iter_batches(1, row_groups=[group], columns=[self._leaf], use_threads=False)
        for batch in batches:
            for cell in batch[self._name].to_pylist():
                yield cell["bytes"] if isinstance(cell, dict) else cell


class ParquetStream:
    """A Parquet file of a list.

    Args:
        source: path or buffer.

    Raises:
        pa.ArrowInvalid: it is no Parquet file.
    """

    def __init__(self, source: Any) -> None:
        self._source = source
        with self._open() as file:
            self.schema = pa.schema([field.with_type(_get_plain(field.type)) for field in file.schema_arrow])
            self.rows: int = file.metadata.num_rows

    def count_values(self, column: str) -> int:
        """Return how many values a column has by the footer; of lists, those in them."""
        with self._open() as file:
            groups = [file.metadata.row_group(number) for number in range(file.metadata.num_row_groups)]
        chunks = (chunk for group in groups for chunk in map(group.column, range(group.num_columns)))
        return sum(chunk.num_values for chunk in chunks if chunk.path_in_schema.split(".")[0] == column)

    def iterate(self, columns: Sequence[str], batch_rows: int) -> Iterator[pa.RecordBatch]:
        """Yield columns in batches.

        Raises:
            DamagedTableError: a batch takes more memory than lists do, or a page more than the footer says.
            pa.ArrowException: the file is damaged.
        """
        texts = {name for name in columns if is_text(_get_item(self.schema.field(name).type))}
        with self._open() as file:
            # Texts within lists are columns of their own there, as in caption.list.element.
            paths = [file.schema.column(number).path for number in range(len(file.schema))]
            bounds = self._check(file.metadata, columns)
        stored = [path for path in paths if path.partition(".")[0] in texts]
        if bounds.shares_prefixes:
            if any(pa.types.is_nested(self.schema.field(name).type) for name in columns):
                raise DamagedTableError("texts in its lists are stored as what differs from the one before")
            # Arrow cannot read these as they are stored; but no text is longer than its page.
            stored, batch_rows = [], max(1, min(batch_rows, _MAX_BATCH_BYTES // bounds.largest_bytes))
        with self._open(stored) as file:
            for batch in file.iter_batches(batch_rows, columns=[*columns]):
                arrays = [_spread(_get_storage(batch[name]), name) for name in columns]
                if (size := sum(array.nbytes for array in arrays)) > _MAX_BATCH_BYTES:
                    raise DamagedTableError(f"{len(batch):,} rows take {size / 2**20:,.0f} MiB in memory")
                yield pa.RecordBatch.from_arrays(arrays, names=[*columns])

    def _open(self, stored: Sequence[str] = ()) -> pq.ParquetFile:
        """Return the opened file; these columns are read as they are stored."""
        return pq.ParquetFile(
            self._source,
            read_dictionary=[*stored],
            thrift_string_size_limit=_MAX_FOOTER_STRING,
        )

    def _check(self, metadata: pq.FileMetaData, columns: Sequence[str]) -> PageBounds:
        nested = {name for name in columns if pa.types.is_nested(self.schema.field(name).type)}
        for number in range(metadata.num_row_groups):
            group = metadata.row_group(number)
            for chunk in map(group.column, range(group.num_columns)):
                if chunk.path_in_schema.partition(".")[0] in nested and chunk.num_values > _MAX_GROUP_ITEMS:
                    raise DamagedTableError(f"a row group has {chunk.num_values:,} items in its lists")
        if not isinstance(self._source, str):
            return check_pages(self._source, metadata, columns)
        with pa.OSFile(self._source) as file:
            return check_pages(file, metadata, columns)


def _get_storage(column: pa.Array) -> pa.Array:
    """Return a column as it is stored: a type of an extension is code, and Ray's unpickles values."""
    return column.storage if isinstance(column, pa.ExtensionArray) else column


def _get_plain(kind: pa.DataType) -> pa.DataType:
    if isinstance(kind, pa.BaseExtensionType):
        return _get_plain(kind.storage_type)
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _get_item(kind: pa.DataType) -> pa.DataType:
    """Return the type of the items of a list, and any other type itself."""
    return kind.value_type if pa.types.is_list(kind) or pa.types.is_large_list(kind) else kind


def is_text(kind: pa.DataType) -> bool:
    """Return whether the cells of a type are texts, or bytes."""
    return any(
        is_kind(kind)
        for is_kind in (
            pa.types.is_string,
            pa.types.is_large_string,
            pa.types.is_string_view,
            pa.types.is_binary,
            pa.types.is_large_binary,
            pa.types.is_binary_view,
        )
    )


def _spread(column: pa.Array, name: str) -> pa.Array:
    """Return a column whose texts are in their rows."""
    items = column.flatten() if column.type != _get_item(column.type) else column
    if not pa.types.is_dictionary(items.type):
        return column
    lengths = pc.take(pc.binary_length(items.dictionary), items.indices)
    if (size := pc.sum(pc.cast(lengths, pa.int64())).as_py() or 0) > _MAX_BATCH_BYTES:
        raise DamagedTableError(f"{len(column):,} texts of {name!r} take {size / 2**20:,.0f} MiB in memory")
    plain = items.type.value_type
    return pc.cast(column, pa.list_(plain) if items is not column else plain)
