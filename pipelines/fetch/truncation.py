"""Whether media lack their end: by the length that their format states, without decoding."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

# Where end markers are looked for; cameras and editors append metadata behind them.
_TAIL_BYTES = 1024
# Top-level boxes of an MP4; anything else behind the last of them is no part of it.
_BOXES = frozenset(
    b"ftyp moov mdat free skip wide moof mfra sidx ssix styp meta uuid udta pdin prft emsg meco".split()
)
_EBML = 0x1A45DFA3
_SEGMENT = 0x18538067


def is_cut_picture(data: bytes) -> bool:
    """Return whether bytes that begin as a picture lack its end."""
    tail = data[-_TAIL_BYTES:]
    if data.startswith(b"\xff\xd8\xff"):
        return b"\xff\xd9" not in tail
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return b"IEND" not in tail
    if data.startswith((b"GIF87a", b"GIF89a")):
        return b"\x3b" not in data[-2:]
    if data.startswith(b"RIFF"):
        return int.from_bytes(data[4:8], "little") + 8 > len(data)
    if data.startswith(b"BM"):
        return int.from_bytes(data[2:6], "little") > len(data)
    return False


def is_cut_file(path: Path) -> bool:
    """Return whether a media file lacks its end; MP4, Matroska and RIFF state their length."""
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(12)
        file.seek(0)
        if start[4:8] in _BOXES:
            return _find_boxes_end(file) > size
        if start[:4] == b"RIFF":
            length = int.from_bytes(start[4:8], "little")
            # A file that was written to a pipe states no length.
            return 0 < length < 0xFFFFFFFF and length + 8 > size
        if int.from_bytes(start[:4]) == _EBML:
            return (_find_segment_end(file) or 0) > size
    return False


def _find_boxes_end(file: BinaryIO) -> int:
    """Return where the last box of an MP4 ends; a box of length 0 extends to the end of the file."""
    end = 0
    while True:
        file.seek(end)
        header = file.read(16)
        length = int.from_bytes(header[:4])
        if length == 1:
            length = int.from_bytes(header[8:16])
        if header[4:8] not in _BOXES or length < 8:
            return end
        end += length


def _find_segment_end(file: BinaryIO) -> int | None:
    """Return where the first segment of a Matroska file ends; None if it does not state it."""
    if _read_vint(file, marked=True) != _EBML or (length := _read_vint(file)) is None:
        return None
    file.seek(length, 1)
    if _read_vint(file, marked=True) != _SEGMENT or (length := _read_vint(file)) is None:
        return None
    return file.tell() + length


def _read_vint(file: BinaryIO, *, marked: bool = False) -> int | None:
    """Read an EBML variable-length integer: 1 to 8 bytes, one more than leading zeros; None if unknown.

    Args:
        file: at its beginning.
        marked: whether the marker bit behind the zeros belongs to the number, as in ids.
    """
    first = file.read(1)
    if not first or not first[0]:
        return None
    width = 9 - first[0].bit_length()
    number = int.from_bytes(first + file.read(width - 1))
    if marked:
        return number
    value = number & ((1 << (7 * width)) - 1)
    return None if value == (1 << (7 * width)) - 1 else value
