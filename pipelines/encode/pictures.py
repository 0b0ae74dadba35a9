"""The bytes of a picture file -> a Pillow picture, or the outcome that says why not."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pipelines.encode.encoder import Unusable
from pipelines.encode.once import once

if TYPE_CHECKING:
    from PIL import Image


@contextmanager
def opened(item: bytes) -> Iterator[Image.Image]:
    """Give a decoded picture inside the block.

    Raises:
        Unusable: it cannot be decoded.
    """
    from PIL import Image

    try:
        yield once(item, "picture", _decoded)
    except Image.DecompressionBombError as error:
        raise Unusable("too_many_pixels") from error
    # What Pillow's decoders raise for bytes they cannot read; SyntaxError is a broken PNG.
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise Unusable("undecodable") from error


def _decoded(item: bytes) -> Image.Image:
    from PIL import Image

    picture = Image.open(io.BytesIO(item))
    picture.load()
    return picture
