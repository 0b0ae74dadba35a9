"""Decode the bytes of a picture file with Pillow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.decode.pixels import open_picture
from pipelines.encode.loaders.decode_cache import decode_once

if TYPE_CHECKING:
    from PIL import Image


def decode_image(item: bytes) -> Image.Image:
    """Return a decoded picture; it may be shared and must not be modified.

    Raises:
        UndecodableMediaError: it cannot be decoded, has too many pixels, or takes too long.
    """
    return decode_once(item, "picture", open_picture)
