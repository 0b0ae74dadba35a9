"""Numbers in the first directory of tags of a TIFF, which EXIF is, too."""

from __future__ import annotations

import struct

BITS, PHOTOMETRIC, ORIENTATION, SAMPLE_FORMAT = 258, 262, 274, 339

_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
# Bytes and letter of the whole numbers that a tag may hold.
_WHOLE = {1: (1, "B"), 3: (2, "H"), 4: (4, "I")}
# A camera's first directory has 12.
_MOST_TAGS = 500
# Of a picture, one number a channel.
_MOST_VALUES = 8


def read_tag(data: bytes, start: int, tag: int) -> tuple[int, ...]:
    """Return the values of a tag, at most eight; none if it is not there, or holds no whole numbers.

    Args:
        data: the file.
        start: where the TIFF begins in it.
        tag: its number.
    """
    order = _ORDERS.get(data[start : start + 4])
    if order is None:
        return ()
    try:
        directory = start + struct.unpack_from(f"{order}I", data, start + 4)[0]
        (count,) = struct.unpack_from(f"{order}H", data, directory)
        for entry in range(min(count, _MOST_TAGS)):
            at = directory + 2 + 12 * entry
            name, kind, values = struct.unpack_from(f"{order}HHI", data, at)
            if name == tag and kind in _WHOLE:
                size, letter = _WHOLE[kind]
                values = min(values, _MOST_VALUES)
                # Values of more than four bytes together are elsewhere.
                if values * size > 4:
                    values_at = start + struct.unpack_from(f"{order}I", data, at + 8)[0]
                else:
                    values_at = at + 8
                return struct.unpack_from(f"{order}{values}{letter}", data, values_at)
    except struct.error:
        return ()
    return ()
