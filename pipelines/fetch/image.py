"""A response's bytes -> the stored JPEG, exactly as img2dataset would store it."""

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
# Larger bodies are spooled to disk until they are decoded, so that `connections` bodies fit in memory.
_IN_MEMORY_BYTES = 2**22
# Wikimedia's responses for a thumbnail that does not exist: 400 if the picture is no wider than it, 404 if
# its name is formed otherwise. Then the picture itself is requested, but not after a 429 or 5xx.
NO_THUMBNAIL = frozenset({make_outcome("transient", "http_4xx"), make_outcome("dead", "http_404")})


class ImageReader:
    """Reads pictures from the web, from files, and from the tars of img2dataset."""

    def __init__(self, fetch: Fetch) -> None:
        self._max_bytes = fetch.max_bytes
        self._converter = ImageConverter(fetch)

    async def close(self) -> None:
        """Do nothing: nothing is kept open."""

    async def read(
        self, client: HttpClient, threads: MediaThreads, requests: Sequence[FetchRequest]
    ) -> list[FetchResult]:
        """Return the one picture of all rows that share a URL."""
        request = requests[0]
        location = files.parse_location(request.url) if request.local else None
        if location:
            return [await self._read_file(threads, location)] * len(requests)
        with SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES) as body:
            response = await client.get(request.url, body)
            if request.original is not None and response.outcome in NO_THUMBNAIL:
                response = await client.get(request.original, body)
            if response.outcome == OK:
                result = await threads.run(self._convert_body, body, response.content_type)
            else:
                result = FetchResult(response.outcome)
        return [result] * len(requests)

    def _convert_body(self, body: IO[bytes], content_type: str) -> FetchResult:
        with timing.measure_time("decode"):
            body.seek(0)
            return self._converter.convert(body.read(), content_type)

    async def _read_file(self, threads: MediaThreads, location: files.MediaLocation) -> FetchResult:
        if not location.remote:
            return await threads.run(lambda: self._convert_file(location, self._load(location)))
        # A bucket takes 50 ms to answer, which must not block a decoder thread.
        loaded = await asyncio.get_running_loop().run_in_executor(None, self._load, location)
        return await threads.run(self._convert_file, location, loaded)

    def _load(self, location: files.MediaLocation) -> tuple[bytes, bytes | None] | Outcome:
        """Return the bytes of a file and, where img2dataset has stored it, its record."""
        try:
            data = files.read(location, self._max_bytes)
        except UnreadableMediaError as error:
            return error.outcome
        return data, files.find_sibling(location, "json") if is_stored(location.member) else None

    def _convert_file(
        self, location: files.MediaLocation, loaded: tuple[bytes, bytes | None] | Outcome
    ) -> FetchResult:
        if isinstance(loaded, Outcome):
            return FetchResult(loaded)
        with timing.measure_time("decode"):
            data, record = loaded
            if is_stored(location.member):
                return self._converter.copy(data, record)
            return self._converter.convert(data)


def is_stored(member: str) -> bool:
    """Return whether a member of an archive is a JPEG, which is copied as it is."""
    return member.endswith((".jpg", ".jpeg"))


class ImageConverter:
    """Checks, decodes, resizes and encodes pictures with img2dataset's own `Resizer`. Thread-safe."""

    def __init__(self, fetch: Fetch) -> None:
        import cv2
        from PIL import Image

        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        logging.getLogger("exifread").setLevel(logging.CRITICAL)
        # `max_pixels` takes the place of Pillow's limit, and every oddity of a file becomes an outcome.
        warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
        warnings.filterwarnings("ignore", module=r"PIL\.")
        self._max_pixels = fetch.max_pixels
        self._resize = make_resizer(fetch)

    def convert(self, data: bytes, content_type: str = "") -> FetchResult:
        """Return a picture as it is stored, or why it is not.

        Args:
            data: the body.
            content_type: from the server; consulted only where the bytes are no picture.
        """
        size = self._read_size(data)
        if isinstance(size, FetchResult):
            return size if size.outcome.reason != "undecodable" else _explain_failure(data, content_type)
        jpg, width, height, original_width, original_height, error = self._resize(io.BytesIO(data))
        if error is not None:
            return _explain_failure(data, content_type)
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

    def copy(self, data: bytes, record: bytes | None) -> FetchResult:
        """Return a JPEG that img2dataset has stored, byte for byte.

        Args:
            data: the member `KEY.jpg`.
            record: the member `KEY.json`, with size and EXIF of the original.
        """
        size = self._read_size(data)
        if isinstance(size, FetchResult):
            return size
        width, height = size
        original_width, original_height, exif = _parse_record(record)
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

    def _read_size(self, data: bytes) -> tuple[int, int] | FetchResult:
        """Return width and height from the header alone, so that nothing too large is decoded."""
        from PIL import Image

        try:
            with Image.open(io.BytesIO(data)) as header:
                width, height = header.size
        except Image.DecompressionBombError:
            return FetchResult(make_outcome("invalid", "too_many_pixels"))
        except Exception:  # parsers of pictures raise anything on bytes made to break them
            return FetchResult(make_outcome("invalid", "undecodable"))
        if width * height > self._max_pixels:
            return FetchResult(make_outcome("invalid", "too_many_pixels"))
        return width, height


def _parse_record(record: bytes | None) -> tuple[int | None, int | None, str | None]:
    """Return the original's width, height and EXIF from img2dataset's record of a sample."""
    try:
        fields = json.loads(record or b"{}")
    except ValueError:
        fields = {}
    if not isinstance(fields, dict):
        fields = {}
    width, height, exif = (fields.get(name) for name in ("original_width", "original_height", "exif"))
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


def _explain_failure(data: bytes, content_type: str) -> FetchResult:
    """Return the result of bytes that cannot be decoded: a page, a cut picture, or neither."""
    start = data[:_SNIFFED_BYTES].lower()
    if b"<html" in start or b"<!doctype html" in start or content_type == "text/html":
        return FetchResult(make_outcome("invalid", "html"))
    return FetchResult(make_outcome("invalid", "truncated" if is_cut_picture(data) else "undecodable"))
