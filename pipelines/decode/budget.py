"""The limits of what a picture may cost."""

from __future__ import annotations

from pipelines.errors import UndecodableMediaError

# No decoder takes more, whatever a dataset's file allows: Pillow's own limit.
MOST_PIXELS = 178_956_970


def check_size(width: int, height: int, max_pixels: int) -> None:
    """Refuse a picture that is too large.

    Raises:
        UndecodableMediaError: it has more than `max_pixels`.
    """
    if width * height > min(max_pixels, MOST_PIXELS):
        raise UndecodableMediaError("too_many_pixels")
