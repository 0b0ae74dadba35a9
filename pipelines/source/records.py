"""Text lists -> records: rows split from a stream of any length, from any URL, gzipped or not.

Lines are split here and not by a CSV reader, because among millions of rows some are broken, and no reader
that was tried keeps the rows around them. DuckDB 2.0 fails on the whole list at a stray carriage return; in
its lenient mode it silently drops surplus columns. pyarrow 26 fails at a short row that is not UTF-8. In
both, one unpaired quote swallows the rows behind it. Here a record is a line, so damage stays within its
line. SQL splits the records into fields (`database.py`).
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedReader
from typing import IO, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.errors import EcholensError, ListError
from pipelines.source.list_files import open_place

RECORD = pa.schema(
    [
        pa.field("row", pa.int64(), nullable=False),  # from 0; header and blank lines not counted
        pa.field("line", pa.int64(), nullable=False),  # from 1
        pa.field("text", pa.string(), nullable=False),  # without its line end; escaped if there is a fault
        pa.field("fault", pa.string()),  # encoding, nul, too_long; null if the text can be read
    ]
)

BLOCK_BYTES = 4 << 20
# The longest articles of WIT have some 100 kB.
MAX_RECORD_BYTES = 2 << 20
# Of a record that cannot be read, in plan/rejects.parquet.
SHOWN_CHARS = 1000

_NEWLINE, _QUOTE = b'\n"'
# The longest field over several lines that is believed; more often one quote too many stands in a line.
_MAX_FIELD_LINES = 100
_BOM = b"\xef\xbb\xbf"
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"

Offsets = npt.NDArray[np.int64]


@dataclass(frozen=True)
class TextList:
    """A list of lines.

    Attributes:
        url: local path, or any URL that fsspec opens.
        start: for a list whose quoted fields may contain line ends, the RE2 that the start of a record
            matches. A line after an unpaired quote continues the record, unless it matches.
        field: for a list of which no start is known, (quote, RE2 of a line that ends inside a quoted field,
            RE2 of one that begins inside of it). A field is continued by the lines up to the second.
        line: the RE2 of every record's first line; other lines outside of quotes go on from the one before.
    """

    url: str
    start: str | None = None
    field: tuple[str, str, str] | None = None
    line: str | None = None

    def read_head(self, records: int = 1000) -> list[str]:
        """Return readable records from the beginning of the list, at least one.

        Raises:
            ListError: there is none, or the list is missing.
        """
        for batch in self.read_batches():
            readable = batch.filter(pc.is_null(batch["fault"]))
            if not len(readable):
                raise ListError(
                    f"list {self.url} begins with bytes that are no UTF-8 text; "
                    "give the text file, plain or gzipped"
                )
            return cast(list[str], readable["text"][:records].to_pylist())
        raise ListError(f"list {self.url} is empty; give a list with rows")

    def read_first(self, records: int = 1000) -> list[tuple[str, str | None]]:
        """Return the text and the fault of records from the beginning of the list, at least one.

        Raises:
            ListError: there is none, or the list is missing.
        """
        for batch in self.read_batches():
            first = batch[:records]
            return [*zip(first["text"].to_pylist(), first["fault"].to_pylist(), strict=True)]
        raise ListError(f"list {self.url} is empty; give a list with rows")

    def read_batches(self, header: int = 0) -> Iterator[pa.RecordBatch]:
        """Yield the records in order, a block at a time, as RECORD.

        Args:
            header: number of records at the beginning that are no rows.

        Raises:
            ListError: the list is missing, or cannot be read to its end.
        """
        row, line = -header, 1
        for data, ends, first_lines in self._split_pieces():
            batch = _make_batch(data, ends, row, line + first_lines)
            line += data.count(b"\n")
            if len(batch) > max(0, -row):
                yield batch.slice(max(0, -row))
            row += len(batch)

    def _split_pieces(self) -> Iterator[tuple[bytes, Offsets, Offsets]]:
        """Yield pieces of whole records: bytes, the offset of each record's end, and its first line."""
        rest, clipped = b"", False
        for block in read_blocks(self.url):
            if clipped:
                at = block.find(b"\n")
                clipped, block = at < 0, block[at:] if at >= 0 else b""  # noqa: PLW2901
            piece = rest + block
            ends, first_lines = self._find_records(piece, is_last=False)
            whole = int(ends[-1]) if ends.size else 0
            if whole:
                yield piece[:whole], ends, first_lines
            rest = piece[whole:]
            if len(rest) > MAX_RECORD_BYTES:
                # Kept long enough to count as too long; its line ends stay, for the line numbers.
                surplus = rest[MAX_RECORD_BYTES + 1 :]
                clipped = not surplus.endswith(b"\n")
                rest = rest[: MAX_RECORD_BYTES + 1] + b"\n" * surplus.count(b"\n")
        if rest and self.field is not None:
            yield rest, *self._find_records(rest, is_last=True)
        elif rest:
            yield rest, np.array([len(rest)]), np.array([0])

    def _find_records(self, data: bytes, *, is_last: bool) -> tuple[Offsets, Offsets]:
        """Return the offset at which each whole record of a piece ends, and the line on which it begins."""
        chars = np.frombuffer(data, np.uint8)
        line_ends = np.flatnonzero(chars == _NEWLINE) + 1
        if self.field is not None:
            return _join_fields(data, line_ends, self.field, is_last=is_last)
        if self.start is None or not line_ends.size:
            return line_ends, np.arange(line_ends.size)
        starts_L = _match(data, line_ends, self.start)
        quotes_L = np.searchsorted(np.flatnonzero(chars == _QUOTE), line_ends)
        before_L = np.concatenate([[0], quotes_L[:-1]])
        # Quotes since the last line that looks like a start: an odd number means inside a field.
        inside_L = (quotes_L - np.maximum.accumulate(np.where(starts_L, before_L, 0))) % 2 == 1
        last_L = ~inside_L
        if self.line is not None:
            last_L = last_L & np.append(_match(data, line_ends, self.line)[1:], False)
        last_L = last_L | np.append(starts_L[1:], False)
        lasts = np.flatnonzero(last_L)
        return line_ends[lasts], np.concatenate([[0], lasts[:-1] + 1])


def read_blocks(url: str) -> Iterator[bytes]:
    """Yield the bytes of a list, decompressed, without a byte order mark.

    Raises:
        ListError: the list is missing, or cannot be read to its end.
    """
    try:
        fs, path = open_place(url)
        with BufferedReader(fs.open(path, "rb")) as raw:
            file = _decompress(raw)
            block = file.read(BLOCK_BYTES).removeprefix(_BOM)
            while block:
                yield block
                block = file.read(BLOCK_BYTES)
    except EcholensError:
        raise
    except FileNotFoundError as error:
        raise ListError(f"list {url} is not there; check the path or URL") from error
    except IsADirectoryError as error:
        raise ListError(f"list {url} is a folder; give the file in it") from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ListError(f"list {url} is damaged or cut off ({error}); download it again") from error
    except Exception as error:
        # Every file system has exceptions of its own for no route, no such bucket and no credentials.
        message = " ".join(str(error).split()) or type(error).__name__
        raise ListError(f"list {url} cannot be read ({message}); check the address and the access") from error


def _decompress(raw: BufferedReader) -> IO[bytes]:
    head = raw.peek(4)[:4]
    if head == _ZSTD:
        return cast(IO[bytes], pa.CompressedInputStream(raw, "zstd"))
    return cast(IO[bytes], gzip.GzipFile(fileobj=raw) if head.startswith(_GZIP) else raw)


def _join_fields(
    data: bytes, line_ends: Offsets, field: tuple[str, str, str], *, is_last: bool
) -> tuple[Offsets, Offsets]:
    """Return where each whole record ends, and its first line; a record goes on inside a quoted field."""
    quote, opens, closes = field
    if is_last and len(data) > (line_ends[-1] if line_ends.size else 0):
        line_ends = np.append(line_ends, len(data))
    quotes = np.flatnonzero(np.frombuffer(data, np.uint8) == ord(quote))
    odd = np.flatnonzero(np.diff(np.searchsorted(quotes, line_ends), prepend=0) % 2)
    ends_L = np.ones(line_ends.size, bool)
    if odd.size:
        opens_L, closes_L = (_match(data, line_ends, pattern) for pattern in (opens, closes))
        at = 0
        while at < odd.size:
            first = odd[at]
            last = odd[at + 1] if at + 1 < odd.size else None
            if not opens_L[first]:
                at += 1
            elif last is None and not is_last and line_ends.size - first <= _MAX_FIELD_LINES:
                # The rest of the field is in the next block.
                line_ends, ends_L = line_ends[:first], ends_L[:first]
                break
            elif last is not None and last - first <= _MAX_FIELD_LINES and closes_L[last]:
                ends_L[first:last] = False
                at += 2
            else:
                at += 1
    lasts = np.flatnonzero(ends_L)
    return line_ends[lasts], np.concatenate([[0], lasts[:-1] + 1]) if lasts.size else np.array([], np.int64)


def _slice_records(data: bytes, ends: Offsets) -> pa.Array:
    """Return the records as binary values that share the bytes of `data`."""
    offsets = np.concatenate([[0], ends]).astype(np.int32)
    return pa.BinaryArray.from_buffers(
        pa.binary(), len(ends), [None, pa.py_buffer(offsets), pa.py_buffer(data)]
    )


def _match(data: bytes, ends: Offsets, pattern: str) -> npt.NDArray[np.bool_]:
    found = pc.match_substring_regex(_slice_records(data, ends), f"^(?:{pattern})")
    return cast(npt.NDArray[np.bool_], found.to_numpy(zero_copy_only=False))


def _make_batch(data: bytes, ends: Offsets, row: int, lines: Offsets) -> pa.RecordBatch:
    """Return records as RECORD, numbered from `row`, without the blank ones."""
    raw = _slice_records(data, ends)
    faults = _find_faults(raw, data, ends)
    if any(faults):
        values = raw.to_pylist()
        texts = [
            _escape(value) if fault else value.decode() for value, fault in zip(values, faults, strict=True)
        ]
        text, fault = pa.array(texts, pa.string()), pa.array(faults, pa.string())
    else:
        text, fault = raw.cast(pa.string()), pa.nulls(len(raw), pa.string())
    text = pc.ascii_rtrim(text, characters="\r\n")
    table = pa.record_batch({"line": pa.array(lines, pa.int64()), "text": text, "fault": fault})
    table = table.filter(pc.not_equal(text, ""))
    rows = pa.array(np.arange(row, row + len(table)), pa.int64())
    return pa.RecordBatch.from_arrays([rows, *table.columns], schema=RECORD)


def _find_faults(raw: pa.Array, data: bytes, ends: Offsets) -> list[str | None]:
    """Return why each record cannot be read; an empty list if all can."""
    lengths = np.diff(ends, prepend=0)
    try:
        raw.cast(pa.string())
    except pa.ArrowInvalid:
        pass
    else:
        if b"\0" not in data and lengths.max() <= MAX_RECORD_BYTES:
            return []
    return [_find_fault(value) for value in raw.to_pylist()]


def _find_fault(value: bytes) -> str | None:
    if len(value) > MAX_RECORD_BYTES:
        return "too_long"
    if b"\0" in value:
        return "nul"
    try:
        value.decode()
    except UnicodeDecodeError:
        return "encoding"
    return None


def _escape(value: bytes) -> str:
    return value[: 4 * SHOWN_CHARS].decode(errors="backslashreplace").replace("\0", "\\x00")[:SHOWN_CHARS]
