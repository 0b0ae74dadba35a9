"""What decoding a picture costs, counted from its file's structure before anything is decoded."""

from __future__ import annotations

import struct
import zlib
from typing import NamedTuple

from pipelines.decode.budget import MOST_PIXELS, check_size
from pipelines.decode.formats import PictureFormat, find_format
from pipelines.decode.jpeg import Segment, read_jpeg_header
from pipelines.errors import UndecodableMediaError

# 50 MB of PNG are 6,000 chunks as libpng writes them.
_MOST_CHUNKS = 100_000
# Compressed texts and profiles of a PNG, each of which libpng unpacks to up to 8 MB in 20 ms.
_MOST_TEXTS = 64
_TEXTS = frozenset({b"zTXt", b"iTXt", b"iCCP"})
_ANIMATED_PNG = frozenset({b"acTL", b"fcTL", b"fdAT"})
_WEBP_ANIMATED, _WEBP_EXIF = 0x02, 0x08
# Of a film, one a frame.
_MOST_WEBP_CHUNKS = 10_000
# Compressions of a BMP that are none: plain pixels, and those of other bits.
_PLAIN_BMP = frozenset({0, 3, 6})


class PictureHeader(NamedTuple):
    """What a picture's file states of it.

    Attributes:
        format: told by its first bytes.
        size: width and height in pixels; None where only decoding shows them.
        is_counted: whether decoding costs no more than these pixels do.
        directories: the segments of a JPEG with directories of tags.
        exif: where EXIF starts in the file, as the TIFF that it is; None if there is none.
    """

    format: PictureFormat
    size: tuple[int, int] | None
    is_counted: bool
    directories: tuple[Segment, ...] = ()
    exif: int | None = None


def read_header(data: bytes, max_pixels: int = MOST_PIXELS) -> PictureHeader:
    """Return what a picture's file states, once that is known to be within the budget.

    Args:
        data: the file.
        max_pixels: of the picture.

    Raises:
        UndecodableMediaError: it is no picture of a format that is read, has too many pixels, or is built to
            take long.
    """
    found = find_format(data)
    match found:
        case None:
            raise UndecodableMediaError("undecodable")
        case PictureFormat.JPEG:
            width, height, directories, exif = read_jpeg_header(data, max_pixels)
            return PictureHeader(found, (width, height), True, directories, exif)
        case PictureFormat.PNG:
            header = _read_png(data)
        case PictureFormat.WEBP:
            header = _read_webp(data)
        case PictureFormat.BMP:
            header = _read_bmp(data)
        case _:
            return PictureHeader(found, None, is_counted=False)
    assert header.size is not None
    check_size(*header.size, max_pixels)
    return header


def _read_png(data: bytes) -> PictureHeader:
    if data[8:16] != b"\0\0\0\rIHDR" or data[29:33] != struct.pack(">I", zlib.crc32(data[12:29])):
        raise UndecodableMediaError("undecodable")
    size = struct.unpack(">II", data[16:24])
    position, texts, is_animated, exif = 33, 0, False, None
    for _ in range(_MOST_CHUNKS):
        name = data[position + 4 : position + 8]
        if len(name) < 4 or name == b"IEND":
            return PictureHeader(PictureFormat.PNG, size, is_counted=not is_animated, exif=exif)
        if name in _TEXTS:
            texts += 1
            if texts > _MOST_TEXTS:
                break
        if name == b"eXIf" and exif is None:
            exif = _skip_name(data, position + 8)
        is_animated = is_animated or name in _ANIMATED_PNG
        position += 12 + int.from_bytes(data[position : position + 4])
    raise UndecodableMediaError("too_complex")


def _read_webp(data: bytes) -> PictureHeader:
    name, is_animated, exif = data[12:16], False, None
    if name == b"VP8X" and len(data) >= 30:
        size = 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
        is_animated = bool(data[20] & _WEBP_ANIMATED)
        exif = _find_webp_exif(data) if data[20] & _WEBP_EXIF else None
    elif name == b"VP8L" and data[20:21] == b"\x2f" and len(data) >= 25:
        bits = int.from_bytes(data[21:25], "little")
        size = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    elif name == b"VP8 " and data[23:26] == b"\x9d\x01\x2a" and len(data) >= 30:
        width, height = struct.unpack("<HH", data[26:30])
        size = width & 0x3FFF, height & 0x3FFF
    else:
        raise UndecodableMediaError("undecodable")
    return PictureHeader(PictureFormat.WEBP, size, is_counted=not is_animated, exif=exif)


def _find_webp_exif(data: bytes) -> int | None:
    """Return where the EXIF of a WebP starts, which comes after its pictures."""
    position = 12
    for _ in range(_MOST_WEBP_CHUNKS):
        name, length = (
            data[position : position + 4],
            int.from_bytes(data[position + 4 : position + 8], "little"),
        )
        if len(name) < 4:
            return None
        if name == b"EXIF":
            return _skip_name(data, position + 8)
        # Chunks have an even length.
        position += 8 + length + length % 2
    return None


def _skip_name(data: bytes, position: int) -> int:
    """Return where EXIF starts behind the name that it has in a JPEG, which some programs write elsewhere."""
    return position + 6 * data.startswith(b"Exif\0\0", position)


def _read_bmp(data: bytes) -> PictureHeader:
    if len(data) < 26:
        raise UndecodableMediaError("undecodable")
    is_old = int.from_bytes(data[14:18], "little") == 12
    width, height = struct.unpack("<HH", data[18:22]) if is_old else struct.unpack("<ii", data[18:26])
    # Pillow decodes runs of pixels in Python: 25 million of them, in 50 MB, take 30 s.
    is_plain = is_old or int.from_bytes(data[30:34], "little") in _PLAIN_BMP
    return PictureHeader(PictureFormat.BMP, (abs(width), abs(height)), is_counted=is_plain)
