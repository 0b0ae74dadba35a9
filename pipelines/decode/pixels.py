"""A picture's file -> its pixels, once its cost is counted; what cannot be counted is decoded in a child.

The decoder's own limit holds beside ours: OpenCV's is set in `pipelines/__init__.py`, before it is imported.
"""

from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Collection
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.decode.budget import MOST_PIXELS, check_size
from pipelines.decode.child_pool import get_pool
from pipelines.decode.depth import check_depth, is_deep, scale_to_8_bits
from pipelines.decode.formats import PictureFormat
from pipelines.decode.header import PictureHeader, read_header
from pipelines.decode.jpeg import PHOTOSHOP
from pipelines.errors import UndecodableMediaError

if TYPE_CHECKING:
    from PIL import Image

# A camera's first directory has 12 entries of 300 bytes together. Pillow copies what each entry points to.
_MOST_TAGS = 500
_MOST_TAG_BYTES = 2**20
# Of Photoshop's blocks: 64 kB of them take 7 ms, and programs write one or two such segments.
_MOST_BLOCK_SEGMENTS = 4


@cache
def _silence_pillow() -> None:
    """Let oddities of files be outcomes, not lines in a log; our limit replaces Pillow's warning."""
    from PIL import Image

    warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
    warnings.filterwarnings("ignore", module=r"PIL\.")


@cache
def _silence_opencv() -> None:
    import cv2

    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


def decode_pixels(data: bytes, max_pixels: int, header: PictureHeader | None = None) -> np.ndarray[Any, Any]:
    """Return a picture's pixels as OpenCV gives them, in 8 bits, of one to four channels.

    Args:
        data: the file.
        max_pixels: of the picture.
        header: of the file, if it has been read.

    Raises:
        UndecodableMediaError: it is no picture, has too many pixels, takes too long, or is of a depth that
            cannot be told.
    """
    import cv2

    _silence_opencv()
    most = min(max_pixels, MOST_PIXELS)
    header = header or read_header(data, most)
    if not header.is_counted:
        check_depth(data, header.format)
        image = get_pool(most).decode(data, b"o")
    else:
        try:
            found = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        except cv2.error as error:
            is_limit = "MAX_IMAGE" in str(error)
            raise UndecodableMediaError("too_many_pixels" if is_limit else "undecodable") from error
        if found is None:
            raise UndecodableMediaError("undecodable")
        image = found
    check_size(image.shape[1], image.shape[0], most)
    return scale_to_8_bits(image, data, header.format)


def measure_picture(data: bytes, max_pixels: int) -> tuple[int, int]:
    """Return width and height of a picture, which is decoded only if its file does not state them.

    Args:
        data: the file.
        max_pixels: of the picture.

    Raises:
        UndecodableMediaError: it is no picture, has too many pixels, or takes too long.
    """
    header = read_header(data, max_pixels)
    if header.size is not None:
        return header.size
    height, width = decode_pixels(data, max_pixels).shape[:2]
    return width, height


def open_picture(
    data: bytes,
    max_pixels: int = MOST_PIXELS,
    formats: Collection[PictureFormat] = tuple(PictureFormat),
    draft_px: int | None = None,
) -> Image.Image:
    """Return a picture as Pillow decodes it; of rare formats and animations in RGB.

    Args:
        data: the file.
        max_pixels: of the picture.
        formats: that are read.
        draft_px: a JPEG may come smaller, with sides no shorter than this.

    Raises:
        UndecodableMediaError: it is no picture of these formats, has too many pixels, or takes too long.
    """
    from PIL import Image

    _silence_pillow()
    header = read_header(data, max_pixels)
    if header.format not in formats:
        raise UndecodableMediaError("undecodable")
    if is_deep(data, header.format):
        return _make_image(decode_pixels(data, max_pixels, header))
    if not header.is_counted:
        return Image.fromarray(get_pool(min(max_pixels, MOST_PIXELS)).decode(data, b"p"))
    try:
        image = Image.open(io.BytesIO(_drop_costly_directories(data, header)), formats=(header.format,))
        check_size(*image.size, max_pixels)
        if draft_px is not None:
            image.draft("RGB", (draft_px, draft_px))
        image.load()
    except Image.DecompressionBombError as error:
        raise UndecodableMediaError("too_many_pixels") from error
    # What Pillow's decoders raise for bytes they cannot read; SyntaxError is a broken PNG.
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, OverflowError) as error:
        raise UndecodableMediaError("undecodable") from error
    return image


def _make_image(pixels: np.ndarray[Any, Any]) -> Image.Image:
    """Return the Pillow image of pixels as OpenCV has them: grey, BGR or BGRA."""
    from PIL import Image

    if pixels.ndim == 3:
        pixels = np.ascontiguousarray(pixels[..., [2, 1, 0, 3][: pixels.shape[2]]])
    return Image.fromarray(pixels)


def _drop_costly_directories(data: bytes, header: PictureHeader) -> bytes:
    """Return a JPEG without its directories of tags, unless they are as small as programs write them."""
    blocks = [each for each in header.directories if data[each[0] + 1] == PHOTOSHOP]
    tags = [each for each in header.directories if data[each[0] + 1] != PHOTOSHOP]
    contents = [data[content:end] for _, content, end in tags]
    # Pillow joins several segments of EXIF into one.
    if len(contents) <= 2 and not any(map(_is_costly, contents)):
        tags = []
    if len(blocks) <= _MOST_BLOCK_SEGMENTS:
        blocks = []
    kept, position = [], 0
    for start, _, end in sorted(tags + blocks):
        kept.append(data[position:start])
        position = end
    return b"".join([*kept, data[position:]]) if kept else data


def _is_costly(directories: bytes) -> bool:
    """Return whether the first directory of tags has more of them, or longer ones, than cameras write."""
    order = "<" if directories[:2] == b"II" else ">"
    try:
        (first,) = struct.unpack_from(f"{order}I", directories, 4)
        (entries,) = struct.unpack_from(f"{order}H", directories, first)
        counts = [
            struct.unpack_from(f"{order}I", directories, first + 2 + 12 * entry + 4)[0]
            for entry in range(min(entries, _MOST_TAGS))
        ]
    except struct.error:
        return True
    # No value has more than 8 bytes.
    return bool(entries > _MOST_TAGS or 8 * sum(counts) > _MOST_TAG_BYTES)
