"""Pixels of any number of bits -> 8 bits, by the greatest value that the file's depth allows; or a refusal.

What writes a JPEG would cut them off instead: a picture of 16 bits would be all white.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np

from pipelines.decode.formats import PictureFormat
from pipelines.decode.tags import BITS, PHOTOMETRIC, SAMPLE_FORMAT, read_tag
from pipelines.errors import UndecodableMediaError

# Magic number, width, height and greatest value of a PNM; comments are lines.
_PNM = re.compile(rb"P([2356])(?:\s+(?:#[^\n]*\n\s*)*\d+){2}\s+(?:#[^\n]*\n\s*)*(\d+)")
_MOST_PNM_HEADER = 4096
_PNM_TEXT = (b"2", b"3")
# Where JPEG 2000 states the bits of its first component: behind the markers of its beginning.
_J2K_START, _J2K_BITS_AT = b"\xff\x4f\xff\x51", 42
# What a TIFF may have: bits of whole numbers and of floats, and whether 0 is white, 0 is black, or RGB.
_WHOLE_BITS, _FLOAT_BITS = frozenset({1, 8, 10, 12, 14, 16}), frozenset({32, 64})
_PLAIN_BITS = frozenset({1, 8})
_WHOLE, _FLOAT, _UNDEFINED = 1, 3, 4
_WHITE_FIRST, _DEEP_COLOURS = 0, frozenset({0, 1, 2})


def check_depth(data: bytes, form: PictureFormat) -> None:
    """Refuse a TIFF of samples that no rule scales to 8 bits: signed, half floats, 32 bits, ink.

    Raises:
        UndecodableMediaError: it has such samples.
    """
    if form != PictureFormat.TIFF:
        return
    kinds = set(read_tag(data, 0, SAMPLE_FORMAT) or (_WHOLE,))
    bits = set(read_tag(data, 0, BITS) or (1,))
    known = (
        _FLOAT_BITS if kinds == {_FLOAT} else _WHOLE_BITS if kinds <= {_WHOLE, _UNDEFINED} else frozenset()
    )
    is_plain = bits <= _PLAIN_BITS or _DEEP_COLOURS.issuperset(read_tag(data, 0, PHOTOMETRIC))
    if not (bits <= known and is_plain):
        raise UndecodableMediaError("depth")


def is_deep(data: bytes, form: PictureFormat) -> bool:
    """Return whether the samples of a picture have more bits than Pillow scales to 8."""
    match form:
        case PictureFormat.PNG:
            return data[24:26] == b"\x10\0"  # 16 bits, grey
        case PictureFormat.TIFF:
            return not _PLAIN_BITS.issuperset(read_tag(data, 0, BITS))
        case PictureFormat.PNM:
            return (_read_pnm(data) or (b"", 0))[1] > 255
        case PictureFormat.JPEG2000:
            return (_read_j2k_most(data) or 0) > 255
    return False


def scale_to_8_bits(image: np.ndarray[Any, Any], data: bytes, form: PictureFormat) -> np.ndarray[Any, Any]:
    """Return pixels as uint8, of the same shape.

    Args:
        image: as OpenCV decodes it.
        data: the file.
        form: of the file.

    Raises:
        UndecodableMediaError: its depth has no rule.
    """
    if image.dtype == np.uint8 and form not in _STATED:
        return image
    most = _find_most(image, data, form)
    if image.dtype == np.uint8 and most == 255:
        return image
    import cv2

    # It rounds; the greatest of 16 bits is 65,535 = 257 * 255, so no value lies half between two.
    scaled = cv2.convertScaleAbs(image, alpha=255 / most)
    # OpenCV inverts those of 8 bits alone.
    is_inverted = form == PictureFormat.TIFF and read_tag(data, 0, PHOTOMETRIC) == (_WHITE_FIRST,)
    return cv2.bitwise_not(scaled) if is_inverted else scaled


def _find_most(image: np.ndarray[Any, Any], data: bytes, form: PictureFormat) -> float:
    """Return the greatest value that a sample of a picture may have."""
    if image.dtype.kind == "f":
        # Floats have no greatest value; from 0 to 1 is what programs write. NaN is neither.
        if not (image.min() >= 0 and image.max() <= 1):
            raise UndecodableMediaError("depth")
        return 1.0
    if image.dtype not in (np.uint8, np.uint16):
        raise UndecodableMediaError("depth")
    stated = _STATED[form](data, image.itemsize) if form in _STATED else None
    return stated or int(np.iinfo(image.dtype).max)


def _read_pnm(data: bytes) -> tuple[bytes, int] | None:
    """Return the number of the format, and the greatest value; None of bitmaps."""
    found = _PNM.match(data[:_MOST_PNM_HEADER])
    return (found[1], int(found[2])) if found else None


def _find_pnm_most(data: bytes, bytes_each: int) -> int | None:
    number, most = _read_pnm(data) or (b"", None)
    # Written as text, samples of 8 bits come scaled.
    return None if number in _PNM_TEXT and bytes_each == 1 else most


def _read_j2k_most(data: bytes) -> int | None:
    at = data.find(_J2K_START)
    if at < 0 or len(data) <= at + _J2K_BITS_AT:
        return None
    stated = data[at + _J2K_BITS_AT]
    if stated & 0x80:  # signed
        raise UndecodableMediaError("depth")
    return int(2 ** (1 + (stated & 0x7F)) - 1)


def _find_avif_most(data: bytes, _: int) -> int | None:
    at = data.find(b"av1C")
    if at < 0 or len(data) <= at + 6:
        return None
    is_high, is_twelve = data[at + 6] & 0x40, data[at + 6] & 0x20
    return (4095 if is_twelve else 1023) if is_high else 255


def _find_tiff_most(data: bytes, bytes_each: int) -> int | None:
    bits = max(read_tag(data, 0, BITS), default=0)
    # 10, 12 and 14 bits come as the upper ones of 16.
    return (2**bits - 1) << (16 - bits) if bytes_each == 2 and 8 < bits < 16 else None


# Formats whose samples may have any number of bits, and what states the greatest value, given the bytes of a
# decoded sample; None for that of the pixels' type.
_STATED: dict[PictureFormat, Callable[[bytes, int], int | None]] = {
    PictureFormat.PNM: _find_pnm_most,
    PictureFormat.JPEG2000: lambda data, _: _read_j2k_most(data),
    PictureFormat.AVIF: _find_avif_most,
    PictureFormat.TIFF: _find_tiff_most,
}
