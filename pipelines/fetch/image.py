"""Bytes that came -> the JPEG that is stored, exactly as img2dataset would store it."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import logging
import warnings
from collections.abc import Sequence
from tempfile import SpooledTemporaryFile
from typing import IO

from pipelines.compute import timing
from pipelines.errors import UnreadableMediaError
from pipelines.fetch import files
from pipelines.fetch.http_client import HttpClient
from pipelines.fetch.media_threads import MediaThreads
from pipelines.fetch.resizing import make_resizer
from pipelines.fetch.truncation import is_cut_picture
from pipelines.fetch.worker import FetchRequest, FetchResult
from schemas.dataset import Fetch
from schemas.outcome import OK, Outcome, make_outcome

_SNIFFED_BYTES = 1024
# A larger body waits for its decoder on disk, so that `connections` bodies in flight stay in memory.
_IN_MEMORY_BYTES = 2**22
# What Wikimedia answers for a thumbnail that a picture does not have: 400 if it is no wider than that, 404 if
# its name is made otherwise. The picture itself is asked for then, unless it was too much already (429, 5xx).
NO_THUMBNAIL = frozenset({make_outcome("transient", "http_4xx"), make_outcome("dead", "http_404")})


class ImageReader:
    """Reads pictures from the web, from files, and from the tars of img2dataset."""

    def __init__(self, fetch: Fetch) -> None:
        self._max_bytes = fetch.max_bytes
        self._pictures = ImageConverter(fetch)

    async def close(self) -> None:
        """Keep nothing open."""

    async def read(
        self, web: HttpClient, threads: MediaThreads, wanted: Sequence[FetchRequest]
    ) -> list[FetchResult]:
        """Return the one picture of all rows that share a URL."""
        place = files.parse_location(wanted[0].url) if wanted[0].local else None
        if place:
            return [await self._from_disk(threads, place)] * len(wanted)
        with SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES) as body:
            answer = await web.get(wanted[0].url, body)
            if wanted[0].original is not None and answer.outcome in NO_THUMBNAIL:
                answer = await web.get(wanted[0].original, body)
            if answer.outcome == OK:
                media = await threads.run(self._from_web, body, answer.content_type)
            else:
                media = FetchResult(answer.outcome)
        return [media] * len(wanted)

    def _from_web(self, body: IO[bytes], content_type: str) -> FetchResult:
        with timing.measure_time("decode"):
            body.seek(0)
            return self._pictures.stored(body.read(), content_type)

    async def _from_disk(self, threads: MediaThreads, place: files.MediaLocation) -> FetchResult:
        if not place.remote:
            return await threads.run(lambda: self._made(place, self._read(place)))
        # A bucket takes 50 ms to answer: what waits for it must not keep others from being decoded.
        read = await asyncio.get_running_loop().run_in_executor(None, self._read, place)
        return await threads.run(self._made, place, read)

    def _read(self, place: files.MediaLocation) -> tuple[bytes, bytes | None] | Outcome:
        """The bytes of a file and, where img2dataset has stored it, its record."""
        try:
            data = files.read(place, self._max_bytes)
        except UnreadableMediaError as error:
            return error.outcome
        return data, files.find_sibling(place, "json") if is_stored(place.member) else None

    def _made(self, place: files.MediaLocation, read: tuple[bytes, bytes | None] | Outcome) -> FetchResult:
        if isinstance(read, Outcome):
            return FetchResult(read)
        with timing.measure_time("decode"):
            data, record = read
            if is_stored(place.member):
                return self._pictures.copied(data, record)
            return self._pictures.stored(data)


def is_stored(member: str) -> bool:
    """Return whether a member of an archive is a picture that is kept as it is."""
    return member.endswith((".jpg", ".jpeg"))


class ImageConverter:
    """Checks, decodes, resizes and encodes pictures with img2dataset's own `Resizer`. Thread-safe."""

    def __init__(self, fetch: Fetch) -> None:
        import cv2
        from PIL import Image

        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        logging.getLogger("exifread").setLevel(logging.CRITICAL)
        # Our own limit of pixels is the one that counts, and every oddity of a file becomes an outcome.
        warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
        warnings.filterwarnings("ignore", module=r"PIL\.")
        self._max_pixels = fetch.max_pixels
        self._resize = make_resizer(fetch)

    def stored(self, data: bytes, content_type: str = "") -> FetchResult:
        """Return the picture as it is stored, or why it is not.

        Args:
            data: the body.
            content_type: as the server said; believed only where the bytes are no picture.
        """
        size = self._size(data)
        if isinstance(size, FetchResult):
            return size if size.outcome.reason != "undecodable" else _no_picture(data, content_type)
        jpg, width, height, original_width, original_height, error = self._resize(io.BytesIO(data))
        if error is not None:
            return _no_picture(data, content_type)
        return FetchResult(
            OK,
            {
                "jpg": jpg,
                "width": width,
                "height": height,
                "original_width": original_width,
                "original_height": original_height,
                "exif": read_exif(data),
                "sha256": hashlib.sha256(jpg).hexdigest(),
            },
        )

    def copied(self, data: bytes, record: bytes | None) -> FetchResult:
        """Return a JPEG that img2dataset has stored already, untouched.

        Args:
            data: the member `KEY.jpg`.
            record: the member `KEY.json`, which knows what the original was like.
        """
        size = self._size(data)
        if isinstance(size, FetchResult):
            return size
        width, height = size
        original_width, original_height, exif = _recorded(record)
        return FetchResult(
            OK,
            {
                "jpg": data,
                "width": width,
                "height": height,
                "original_width": original_width or width,
                "original_height": original_height or height,
                "exif": exif,
                "sha256": hashlib.sha256(data).hexdigest(),
            },
        )

    def _size(self, data: bytes) -> tuple[int, int] | FetchResult:
        """Width and height by the header alone: nothing is decoded before its size is known."""
        from PIL import Image

        try:
            with Image.open(io.BytesIO(data)) as header:
                width, height = header.size
        except Image.DecompressionBombError:
            return FetchResult(make_outcome("invalid", "too_many_pixels"))
        except Exception:  # parsers of pictures raise anything at all on bytes made to break them
            return FetchResult(make_outcome("invalid", "undecodable"))
        if width * height > self._max_pixels:
            return FetchResult(make_outcome("invalid", "too_many_pixels"))
        return width, height


def _recorded(record: bytes | None) -> tuple[int | None, int | None, str | None]:
    """The original's width, height and EXIF, where img2dataset's record of a sample says so."""
    try:
        known = json.loads(record or b"{}")
    except ValueError:
        known = {}
    if not isinstance(known, dict):
        known = {}
    width, height, exif = (known.get(name) for name in ("original_width", "original_height", "exif"))
    return (
        width if isinstance(width, int) else None,
        height if isinstance(height, int) else None,
        exif if isinstance(exif, str) else None,
    )


def read_exif(data: bytes) -> str | None:
    """Return the EXIF tags as img2dataset writes them: a JSON object of strings; None if unreadable."""
    import exifread  # type: ignore[import-untyped]

    try:
        tags = exifread.process_file(io.BytesIO(data), details=False)
        return json.dumps({name: str(value).strip() for name, value in tags.items() if value is not None})
    except Exception:  # as img2dataset: tags made to break the parser are no tags
        return None


def _no_picture(data: bytes, content_type: str) -> FetchResult:
    """Say what bytes are that cannot be decoded."""
    start = data[:_SNIFFED_BYTES].lower()
    if b"<html" in start or b"<!doctype html" in start or content_type == "text/html":
        return FetchResult(make_outcome("invalid", "html"))
    return FetchResult(make_outcome("invalid", "truncated" if is_cut_picture(data) else "undecodable"))
