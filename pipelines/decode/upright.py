"""A picture's file as one whose pixels stand upright, for what reads no EXIF."""

from __future__ import annotations

from pipelines.decode.header import read_header
from pipelines.decode.orientation import UPRIGHT, find_orientation, turn_upright
from pipelines.decode.pixels import decode_pixels
from pipelines.errors import UndecodableMediaError

# Of zlib: a photograph of 12 megapixels takes a third of the time of the default, and the bytes are not kept.
_PNG_LEVEL = 1


def make_upright(data: bytes, max_pixels: int) -> bytes:
    """Return a picture's file, or a PNG of it if it is to be turned; of what is no picture, its bytes.

    Args:
        data: the file.
        max_pixels: the most that are decoded.
    """
    import cv2

    try:
        header = read_header(data, max_pixels)
        orientation = find_orientation(data, header)
        if orientation == UPRIGHT:
            return data
        image = turn_upright(decode_pixels(data, max_pixels, header), orientation)
    except UndecodableMediaError:
        # What decodes it says why it cannot.
        return data
    _, png = cv2.imencode(".png", image, (cv2.IMWRITE_PNG_COMPRESSION, _PNG_LEVEL))
    return png.tobytes()
