"""A response's bytes -> the stored JPEG, exactly as img2dataset would store it."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import Sequence
from tempfile import SpooledTemporaryFile
from typing import IO, Any

import numpy as np

from pipelines.compute import timing
from pipelines.decode.exif import MOST_EXIF_CHARACTERS, add_tag, read_exif
from pipelines.decode.formats import PictureFormat, find_format
from pipelines.decode.header import PictureHeader, read_header
from pipelines.decode.orientation import SIDEWAYS, UPRIGHT, find_orientation, turn_upright
from pipelines.decode.pixels import decode_pixels, measure_picture
from pipelines.errors import UndecodableMediaError, UnreadableMediaError
from pipelines.fetch import files
from pipelines.fetch.expected_hash import read_unchanged
from pipelines.fetch.http_client import HttpClient
from pipelines.fetch.media_threads import MediaThreads
from pipelines.fetch.refusals import COSTLY_S, RefusalBudget
from pipelines.fetch.resizing import check_resized, make_resizer
from pipelines.fetch.truncation import is_cut_picture
from pipelines.fetch.worker import FetchRequest, FetchResult, get_host
from schemas.dataset import Fetch
from schemas.outcome import OK, Outcome, make_outcome

_SNIFFED_BYTES = 1024
# img2dataset's record of a sample has 1 kB; what a record says of the original is stored as 32-bit integers.
_MOST_RECORD_BYTES = 2**20
_MOST_PX = 2**31 - 1
_TOO_COMPLEX = make_outcome("invalid", "too_complex")
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
        self._refusals = RefusalBudget()

    async def close(self) -> None:
        """Do nothing: nothing is kept open."""

    async def read(
        self, client: HttpClient, threads: MediaThreads, requests: Sequence[FetchRequest]
    ) -> list[FetchResult]:
        """Return the one picture of all rows that share a URL."""
        request = requests[0]
        location = files.parse_location(request.url, request.folder) if request.local else None
        if location:
            return await self._read_file(threads, location, requests)
        host = get_host(request.url) or ""
        if self._refusals.is_spent(host):
            # Not its outcome for ever: another run begins with a new budget.
            return [FetchResult(make_outcome("transient", "timeout"))] * len(requests)
        with SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES) as body:
            response = await client.get(request.url, body)
            if request.original is not None and response.outcome in NO_THUMBNAIL:
                response = await client.get(request.original, body)
            if response.outcome != OK:
                return [FetchResult(response.outcome)] * len(requests)
            results, took_s = await threads.run(self._convert_body, body, response.content_type, requests)
        outcomes = {result.outcome for result in results}
        if OK in outcomes:
            self._refusals.accept(host)
        elif _TOO_COMPLEX in outcomes and took_s > COSTLY_S:
            self._refusals.refuse(host)
        return results

    def _convert_body(
        self, body: IO[bytes], content_type: str, requests: Sequence[FetchRequest]
    ) -> tuple[list[FetchResult], float]:
        began_s = time.monotonic()
        with timing.measure_time("decode"):
            body.seek(0)
            data = body.read()
            results = read_unchanged(
                requests, data, lambda same: [self._converter.convert(data, content_type)] * len(same)
            )
        return results, time.monotonic() - began_s

    async def _read_file(
        self, threads: MediaThreads, location: files.MediaLocation, requests: Sequence[FetchRequest]
    ) -> list[FetchResult]:
        if not location.remote:
            return await threads.run(lambda: self._convert_file(location, self._load(location), requests))
        # A bucket takes 50 ms to answer, which must not block a decoder thread.
        loaded = await asyncio.get_running_loop().run_in_executor(None, self._load, location)
        return await threads.run(self._convert_file, location, loaded, requests)

    def _load(self, location: files.MediaLocation) -> tuple[bytes, bytes | None] | Outcome:
        """Return the bytes of a file and, where img2dataset has stored it, its record."""
        try:
            data = files.read(location, self._max_bytes)
        except UnreadableMediaError as error:
            return error.outcome
        return data, files.find_sibling(location, "json") if _is_stored(location, data) else None

    def _convert_file(
        self,
        location: files.MediaLocation,
        loaded: tuple[bytes, bytes | None] | Outcome,
        requests: Sequence[FetchRequest],
    ) -> list[FetchResult]:
        if isinstance(loaded, Outcome):
            return [FetchResult(loaded)] * len(requests)
        data, record = loaded

        def convert(same: Sequence[FetchRequest]) -> list[FetchResult]:
            is_copied = _is_stored(location, data)
            result = self._converter.copy(data, record) if is_copied else self._converter.convert(data)
            return [result] * len(same)

        with timing.measure_time("decode"):
            return read_unchanged(requests, data, convert)


def _is_stored(location: files.MediaLocation, data: bytes) -> bool:
    """Return whether a file is a JPEG in an archive, which is copied as it is; its name may say otherwise."""
    return bool(location.member) and is_jpeg(data)


def is_jpeg(data: bytes) -> bool:
    """Return whether the bytes of a picture are a JPEG, whatever its name says."""
    return find_format(data) == PictureFormat.JPEG


class ImageConverter:
    """Checks, decodes, resizes and encodes pictures with img2dataset's own `Resizer`. Thread-safe."""

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch
        self._resize = make_resizer(fetch)

    def convert(self, data: bytes, content_type: str = "") -> FetchResult:
        """Return a picture as it is stored, or why it is not.

        Args:
            data: the body.
            content_type: from the server; consulted only where the bytes are no picture.
        """
        try:
            header = read_header(data, self._fetch.max_pixels)
            orientation = self._find_orientation(data, header)
            image = turn_upright(decode_pixels(data, self._fetch.max_pixels, header), orientation)
            check_resized(self._fetch, image.shape[1], image.shape[0])
        except UndecodableMediaError as undecodable:
            is_known = undecodable.reason != "undecodable"
            return FetchResult(undecodable.outcome) if is_known else _explain_failure(data, content_type)
        # The file itself is stored only where it is a JPEG that needs no turning.
        file = data if orientation == UPRIGHT else b"\0"
        jpg, width, height, original_width, original_height, error = self._resize(file, image)
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
                "exif": _note_turning(read_exif(data), orientation),
                "sha256": hashlib.sha256(jpg).hexdigest(),
            },
        )

    def copy(self, data: bytes, record: bytes | None) -> FetchResult:
        """Return a JPEG that img2dataset has stored, byte for byte unless it is to be turned.

        Args:
            data: the member `KEY.jpg`.
            record: the member `KEY.json`, with size and EXIF of the original.
        """
        try:
            header = read_header(data, self._fetch.max_pixels)
            orientation = self._find_orientation(data, header)
            if orientation != UPRIGHT:
                image = turn_upright(decode_pixels(data, self._fetch.max_pixels, header), orientation)
                data = self._encode(image)
            width, height = measure_picture(data, self._fetch.max_pixels)
        except UndecodableMediaError as error:
            return FetchResult(error.outcome)
        original_width, original_height, exif = _parse_record(record)
        if orientation in SIDEWAYS:
            original_width, original_height = original_height, original_width
        return FetchResult(
            OK,
            {
                "jpg": data,
                "width": width,
                "height": height,
                "original_width": original_width or width,
                "original_height": original_height or height,
                "exif": _note_turning(exif, orientation),
                "sha256": hashlib.sha256(data).hexdigest(),
            },
        )

    def _find_orientation(self, data: bytes, header: PictureHeader) -> int:
        return find_orientation(data, header) if self._fetch.orientation == "upright" else UPRIGHT

    def _encode(self, image: np.ndarray[Any, Any]) -> bytes:
        import cv2

        _, jpg = cv2.imencode(".jpg", image, (cv2.IMWRITE_JPEG_QUALITY, self._fetch.encode_quality))
        return jpg.tobytes()


def _note_turning(exif: str | None, orientation: int) -> str | None:
    """Return the tags of a file, with a note among them if its picture was turned."""
    return exif if orientation == UPRIGHT else add_tag(exif, "Echolens Orientation", "upright")


def _parse_record(record: bytes | None) -> tuple[int | None, int | None, str | None]:
    """Return the original's width, height and EXIF from img2dataset's record of a sample."""
    try:
        fields = json.loads(record or b"{}") if len(record or b"") <= _MOST_RECORD_BYTES else {}
    except (ValueError, RecursionError):
        fields = {}
    if not isinstance(fields, dict):
        fields = {}
    width, height, exif = (fields.get(name) for name in ("original_width", "original_height", "exif"))
    return (
        width if _is_px(width) else None,
        height if _is_px(height) else None,
        exif if isinstance(exif, str) and len(exif) <= MOST_EXIF_CHARACTERS else None,
    )


def _is_px(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= _MOST_PX


def _explain_failure(data: bytes, content_type: str) -> FetchResult:
    """Return the result of bytes that cannot be decoded: a page, a cut picture, or neither."""
    start = data[:_SNIFFED_BYTES].lower()
    if b"<html" in start or b"<!doctype html" in start or content_type == "text/html":
        return FetchResult(make_outcome("invalid", "html"))
    return FetchResult(make_outcome("invalid", "truncated" if is_cut_picture(data) else "undecodable"))
