"""The bytes of a picture file -> a Pillow picture, or the outcome that says why not."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from pipelines.encode.loaders.decode_cache import decode_once
from pipelines.errors import UndecodableMediaError

if TYPE_CHECKING:
    from PIL import Image


def decode_image(item: bytes) -> Image.Image:
    """Return a decoded picture; whoever gets it leaves it as it is.

    Raises:
        Unusable: it cannot be decoded.
    """
    return decode_once(item, "picture", _decoded)


def _decoded(item: bytes) -> Image.Image:
    from PIL import Image

    try:
        made = Image.open(io.BytesIO(item))
        made.load()
    except Image.DecompressionBombError as error:
        raise UndecodableMediaError("too_many_pixels") from error
    # What Pillow's decoders raise for bytes they cannot read; SyntaxError is a broken PNG.
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise UndecodableMediaError("undecodable") from error
    return made
