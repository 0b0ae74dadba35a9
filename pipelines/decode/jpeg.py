"""The size of a JPEG and the number of its scans, from its markers, as libjpeg reads them."""

from __future__ import annotations

import re
from typing import NamedTuple

from pipelines.decode.budget import check_size
from pipelines.errors import UndecodableMediaError

_SOF = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
_PROGRESSIVE = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
_SOI, _EOI, _SOS = 0xD8, 0xD9, 0xDA
# Segments whose content Pillow parses in Python, marker and beginning: directories of tags as a TIFF has,
# and Photoshop's blocks.
_EXIF, PHOTOSHOP = 0xE1, 0xED
_DIRECTORIES = {_EXIF: b"Exif\0\0", 0xE2: b"MPF\0", PHOTOSHOP: b"Photoshop 3.0\0"}
_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD8)})
# Cameras write about 20 segments; a colour profile or notes of 50 MB are 800 of 64 kB.
_MOST_SEGMENTS = 5_000
# Every scan goes over all pixels: 20 scans of 120 megapixels take 1 s. Encoders write 10.
_MOST_SCANS = 1_000
_MOST_SCANNED_PIXELS = 2_400_000_000
# Behind a scan: any marker but a stuffed zero and the restarts within the scan.
_NO_FILL = re.compile(rb"[^\xff]")
_NEXT_MARKER = re.compile(rb"\xff[^\x00\xff\x01\xd0-\xd7]")

Segment = tuple[int, int, int]


class JpegHeader(NamedTuple):
    """What the markers of a JPEG state.

    Attributes:
        width: in pixels.
        height: in pixels.
        directories: the segments with directories of tags: where each starts, its content, and its end.
        exif: where the content of the first of EXIF starts; None if there is none.
    """

    width: int
    height: int
    directories: tuple[Segment, ...]
    exif: int | None = None


def read_jpeg_header(data: bytes, max_pixels: int) -> JpegHeader:
    """Return what the markers of a JPEG state.

    Args:
        data: the file.
        max_pixels: of the picture.

    Raises:
        UndecodableMediaError: it is no JPEG, has too many pixels, or more segments or scans than an encoder
            writes, or samples of other than 8 bits.
    """
    frame, in_one_scan, directories, position = None, 0, list[Segment](), 2
    exif: int | None = None
    for _ in range(_MOST_SEGMENTS):
        marker, position = _find_marker(data, position)
        if marker in _WITHOUT_LENGTH:
            continue
        length = int.from_bytes(data[position : position + 2])
        if marker in (_SOI, _EOI) or length < 2 or position + length > len(data):
            raise UndecodableMediaError("undecodable")
        if marker in _SOF:
            if frame is not None:  # as libjpeg, which refuses a second size
                raise UndecodableMediaError("undecodable")
            width, height, components = _read_frame(data, position, length)
            check_size(width, height, max_pixels)
            frame = JpegHeader(width, height, ())
            in_one_scan = 0 if marker in _PROGRESSIVE else components
        elif (name := _DIRECTORIES.get(marker)) and data.startswith(name, position + 2):
            directories.append((position - 2, position + 2 + len(name), position + length))
            if marker == _EXIF and exif is None:
                exif = position + 2 + len(name)
        elif marker == _SOS:
            if frame is None:
                raise UndecodableMediaError("undecodable")
            if data[position + 2] != in_one_scan:
                _check_scans(data, position, frame.width * frame.height)
            return frame._replace(directories=tuple(directories), exif=exif)
        position += length
    raise UndecodableMediaError("too_complex")


def _find_marker(data: bytes, position: int) -> tuple[int, int]:
    """Return the next marker and the place behind it; fill bytes and garbage are skipped."""
    position = data.find(b"\xff", position)
    found = _NO_FILL.search(data, position) if position >= 0 else None
    if found is None or found.end() + 2 > len(data):
        raise UndecodableMediaError("undecodable")
    # A stuffed zero is no marker, and has no length either.
    return data[found.start()] or 0x01, found.end()


def _read_frame(data: bytes, position: int, length: int) -> tuple[int, int, int]:
    """Return width, height and number of components."""
    height = int.from_bytes(data[position + 3 : position + 5])
    width = int.from_bytes(data[position + 5 : position + 7])
    if length < 8 or not width or not height:
        raise UndecodableMediaError("undecodable")
    # 12 bits are of cameras for X-rays, 2 to 16 of lossless JPEG; libjpeg reads 8 alone.
    if data[position + 2] != 8:
        raise UndecodableMediaError("depth")
    return width, height, data[position + 7]


def _check_scans(data: bytes, position: int, pixels: int) -> None:
    """Refuse more scans, from the one whose header is at `position` on, than its pixels allow."""
    most = min(_MOST_SCANS, _MOST_SCANNED_PIXELS // pixels)
    # The two bytes of their marker are no fewer than scans; a second picture in the file adds to them.
    if 1 + data.count(b"\xff\xda", position) <= most:
        return
    scans = 1
    for _ in range(_MOST_SCANS + _MOST_SEGMENTS):
        if scans > most:
            break
        position += int.from_bytes(data[position : position + 2])
        found = _NEXT_MARKER.search(data, position)
        if found is None or data[found.end() - 1] == _EOI:
            return
        position = found.end()
        scans += data[position - 1] == _SOS
    raise UndecodableMediaError("too_complex")
