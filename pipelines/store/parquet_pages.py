"""Pages of a Parquet file, whose headers are read before Arrow believes them.

Arrow allocates what the header of a page says, and makes as many values as it says: a page of 20 bytes may
say two thousand million. Of the footer alone nothing follows for that.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.errors import DamagedTableError

# Decompressed, a page is in memory as a whole. Arrow writes 1 MiB, DuckDB up to 100.
MAX_PAGE_BYTES = 2**29
# Headers hold the least and the largest value of a page.
_HEADER_BYTES, _MAX_HEADER_BYTES = 2**9, 2**24
_MAX_NESTING = 8
_MAX_VARINT_BYTES = 10
# Fields of Parquet's PageHeader, and of the headers within it.
_SIZE, _PACKED_SIZE, _DATA, _DATA_2 = 2, 3, 5, 8
_VALUES, _ENCODING, _ENCODING_2 = 1, 2, 4
_DELTA_BYTE_ARRAY = 7
# Of Thrift's compact protocol.
_TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _STRUCT = 1, 2, 3, 7, 8, 12
_INTEGERS = frozenset({4, 5, 6})


@dataclass(frozen=True)
class PageBounds:
    """What the pages of columns take.

    Attributes:
        largest_bytes: of a page, decompressed.
        shares_prefixes: whether a text may be stored as what differs from the one before: a page of 1 MB can
            then hold ten thousand texts of 1 MB.
    """

    largest_bytes: int = 0
    shares_prefixes: bool = False


def check_pages(file: pa.NativeFile, metadata: pq.FileMetaData, columns: Collection[str]) -> PageBounds:
    """Check that the pages of columns are within their footer.

    Args:
        file: that can be read anywhere.
        metadata: of its footer.
        columns: top-level names.

    Raises:
        DamagedTableError: a page has more than its footer says, or more than a page may have.
    """
    largest, shares_prefixes = 0, False
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        for position in range(group.num_columns):
            chunk = group.column(position)
            # Arrow opens no page of a chunk without values, whose offsets are then of nothing.
            if chunk.path_in_schema.partition(".")[0] not in columns or not chunk.num_values:
                continue
            size = values = 0
            for page_bytes, page_values, encoding in _iterate_pages(file, chunk):
                size, values = size + page_bytes, values + page_values
                largest = max(largest, page_bytes)
                shares_prefixes = shares_prefixes or encoding == _DELTA_BYTE_ARRAY
                if size > chunk.total_uncompressed_size or values > chunk.num_values:
                    raise DamagedTableError(
                        f"pages of its column {chunk.path_in_schema[:80]!r} have more than its footer says"
                    )
                if page_bytes > MAX_PAGE_BYTES:
                    raise DamagedTableError(f"it has a page of {page_bytes / 2**20:,.0f} MiB")
    return PageBounds(largest, shares_prefixes)


def _iterate_pages(file: pa.NativeFile, chunk: Any) -> Iterator[tuple[int, int, int | None]]:
    """Yield the decompressed size, the number of values (0 of a dictionary) and the encoding of each page."""
    # Some writers say 0 for a dictionary that they did not write.
    at = min(chunk.data_page_offset, chunk.dictionary_page_offset or chunk.data_page_offset)
    end = at + chunk.total_compressed_size
    if at < 0 or end > file.size():
        raise DamagedTableError("its footer leads beyond its end")
    while at < end:
        header, length = _read_header(file, at, file.size())
        size, packed = header.get(_SIZE), header.get(_PACKED_SIZE)
        if not isinstance(size, int) or not isinstance(packed, int) or size < 0 or packed < 0:
            raise DamagedTableError("it has a page without a size")
        own, encoding = header.get(_DATA), _ENCODING
        if own is None:
            own, encoding = header.get(_DATA_2), _ENCODING_2
        values = own.get(_VALUES) if isinstance(own, dict) else 0
        if not isinstance(values, int) or values < 0:
            raise DamagedTableError("it has a page without a number of values")
        yield size, values, own.get(encoding) if isinstance(own, dict) else None
        at += length + packed


def _read_header(file: pa.NativeFile, at: int, end: int) -> tuple[dict[int, Any], int]:
    """Return the fields of the header at a place, and its length."""
    window = _HEADER_BYTES
    while True:
        data = file.read_at(min(window, end - at), at)
        try:
            return _read_struct(data, 0, _MAX_NESTING)
        except IndexError:
            if window >= min(_MAX_HEADER_BYTES, end - at):
                raise DamagedTableError("it has a page whose header is none") from None
            window *= 16


def _read_struct(data: bytes, at: int, nesting: int) -> tuple[dict[int, Any], int]:
    if not nesting:
        raise DamagedTableError("it has a page whose header is nested too deeply")
    fields: dict[int, Any] = {}
    number = 0
    while head := data[at]:
        at += 1
        if head >> 4:
            number += head >> 4
        else:
            number, at = _read_integer(data, at)
        fields[number], at = _read_value(data, at, head & 15, nesting)
    return fields, at + 1


def _read_value(data: bytes, at: int, kind: int, nesting: int) -> tuple[Any, int]:
    """Return a value, if it is a number or a structure, and the place behind it.

    Raises:
        IndexError: it goes beyond the data.
        DamagedTableError: there is no such kind of value.
    """
    if kind in (_TRUE, _FALSE):
        return None, at
    if kind in _INTEGERS:
        return _read_integer(data, at)
    if kind == _STRUCT:
        return _read_struct(data, at, nesting - 1)
    if kind == _BINARY:
        size, at = _read_varint(data, at)
    elif kind in (_BYTE, _DOUBLE):
        size = 1 if kind == _BYTE else 8
    else:
        # Lists and maps: no header has one.
        raise DamagedTableError("it has a page whose header is none")
    if at + size > len(data):
        raise IndexError
    return None, at + size


def _read_integer(data: bytes, at: int) -> tuple[int, int]:
    number, at = _read_varint(data, at)
    return (number >> 1) ^ -(number & 1), at


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    number = 0
    for place in range(_MAX_VARINT_BYTES):
        byte = data[at + place]
        number |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return number, at + place + 1
    raise DamagedTableError("it has a page whose header is none")
