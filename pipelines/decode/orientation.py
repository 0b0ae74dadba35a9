"""How a picture is to be turned to stand upright: by EXIF, or by the boxes of an AVIF."""

from __future__ import annotations

from typing import Any

import numpy as np

from pipelines.decode.formats import PictureFormat
from pipelines.decode.header import PictureHeader
from pipelines.decode.tags import ORIENTATION, read_tag

UPRIGHT = 1
# Those that make a wide picture a tall one.
SIDEWAYS = frozenset({5, 6, 7, 8})
# The boxes that describe a picture come before it.
_MOST_BOXES_BYTES = 2**16
# EXIF's orientations by what an AVIF says: quarters against the clock, then mirrored at the axis (None: not;
# 0: top to bottom; 1: left to right). ISO/IEC 23000-22 takes these in place of EXIF.
_OF_AVIF = {
    (0, None): 1, (1, None): 8, (2, None): 3, (3, None): 6,
    (0, 0): 4, (1, 0): 5, (2, 0): 2, (3, 0): 7,
    (0, 1): 2, (1, 1): 7, (2, 1): 4, (3, 1): 5,
}  # fmt: skip


def find_orientation(data: bytes, header: PictureHeader) -> int:
    """Return the orientation of a picture as EXIF numbers it, 1 to 8; 1 if nothing is said of it.

    Args:
        data: the file.
        header: of it.
    """
    if header.format == PictureFormat.AVIF:
        quarters, axis = _find_box(data, b"irot") or 0, _find_box(data, b"imir")
        return _OF_AVIF[quarters & 3, None if axis is None else axis & 1]
    if header.exif is None:
        return UPRIGHT
    values = read_tag(data, header.exif, ORIENTATION)
    return values[0] if values and 1 <= values[0] <= 8 else UPRIGHT


def turn_upright(image: np.ndarray[Any, Any], orientation: int) -> np.ndarray[Any, Any]:
    """Return a picture [H, W, ...] turned as an orientation of EXIF says."""
    if orientation == UPRIGHT:
        return image
    if orientation in SIDEWAYS:
        image = image.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    return np.ascontiguousarray(image)


def _find_box(data: bytes, name: bytes) -> int | None:
    """Return the first byte in a property of an AVIF's items; None if none has it."""
    at = data.find(b"ipco", 0, _MOST_BOXES_BYTES)
    if at < 4:
        return None
    properties = data[at + 4 : at - 4 + int.from_bytes(data[at - 4 : at])]
    found = properties.find(name)
    return properties[found + 4] if 0 <= found < len(properties) - 4 else None
