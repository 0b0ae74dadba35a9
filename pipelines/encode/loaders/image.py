"""Decode the bytes of a picture file with Pillow."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from pipelines.encode.loaders.decode_cache import decode_once
from pipelines.errors import UndecodableMediaError

if TYPE_CHECKING:
    from PIL import Image


def decode_image(item: bytes) -> Image.Image:
    """Return a decoded picture; it may be shared and must not be modified.

    Raises:
        UndecodableMediaError: it cannot be decoded, or has too many pixels.
    """
    return decode_once(item, "picture", _decode)


def _decode(item: bytes) -> Image.Image:
    from PIL import Image

    try:
        image = Image.open(io.BytesIO(item))
        image.load()
    except Image.DecompressionBombError as error:
        raise UndecodableMediaError("too_many_pixels") from error
    # What Pillow's decoders raise for bytes they cannot read; SyntaxError is a broken PNG.
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise UndecodableMediaError("undecodable") from error
    return image
