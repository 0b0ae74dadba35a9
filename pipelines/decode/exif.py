"""EXIF as img2dataset writes it, from a file of which so much is read and no more."""

from __future__ import annotations

import io
import json
from functools import cache

# A camera's 60 tags take 1,000 reads; 20,000 take 0.1 s.
_MOST_READS = 20_000
_MOST_BYTES = 2**18
# In the table of a shard; a camera's tags are about 3,000 characters.
MOST_EXIF_CHARACTERS = 2**16


class _TooMuchReadError(Exception):
    """The parser has read as much as it may."""


class _BudgetedFile(io.BytesIO):
    """A file that ends its reader once it has read so often, or so much."""

    reads = _MOST_READS
    left = _MOST_BYTES

    def read(self, size: int | None = -1, /) -> bytes:
        """Return the next bytes."""
        self.reads -= 1
        data = super().read(min(self.left + 1, size) if size is not None and size >= 0 else self.left + 1)
        self.left -= len(data)
        if self.left < 0 or self.reads < 0:
            raise _TooMuchReadError
        return data


@cache
def _silence_exifread() -> None:
    import logging

    logging.getLogger("exifread").setLevel(logging.CRITICAL)


def read_exif(data: bytes) -> str | None:
    """Return the EXIF tags as img2dataset writes them: a JSON object of strings.

    None of tags that cannot be read, or that are more than a camera writes.
    """
    import exifread  # type: ignore[import-untyped]

    _silence_exifread()
    try:
        tags = exifread.process_file(_BudgetedFile(data), details=False)
        text = json.dumps({name: str(value).strip() for name, value in tags.items() if value is not None})
    except Exception:  # as img2dataset: tags made to break the parser are no tags
        return None
    return text if len(text) <= MOST_EXIF_CHARACTERS else None


def add_tag(text: str | None, name: str, value: str) -> str:
    """Return EXIF tags as `read_exif` returns them with one more."""
    try:
        tags = json.loads(text or "{}")
    except (ValueError, RecursionError):
        tags = {}
    return json.dumps((tags if isinstance(tags, dict) else {}) | {name: value})
