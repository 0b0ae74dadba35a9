"""Untrusted pictures and sounds: what is too large is refused by its header, before it is decoded."""

from __future__ import annotations

import re
import tempfile

from starlette.responses import Response

from pipelines.decode.formats import PictureFormat
from pipelines.decode.header import read_header
from pipelines.decode.sound import open_sound
from pipelines.errors import RequestRefusedError, UndecodableMediaError
from pipelines.fetch.http_client import HttpClient
from pipelines.fetch.ratelimit.broker import PermitBroker
from pipelines.fetch.ratelimit.limits import find_limits
from pipelines.fetch.ratelimit.permits import HostPermits
from pipelines.serve.settings import ServiceLimits, ServiceSettings
from schemas.dataset import Fetch
from schemas.outcome import OK
from schemas.query import Query

_FORMATS = frozenset({PictureFormat.JPEG, PictureFormat.PNG, PictureFormat.WEBP})
_SOUND_FORMATS = frozenset({"WAV", "WAVEX", "FLAC", "OGG", "MP3"})
_NO_PICTURE = "the picture cannot be read; give a JPEG, PNG or WebP"
_NO_SOUND = "the sound cannot be read; give a WAV, FLAC, OGG or MP3"
_RANGE = re.compile(r"bytes=([0-9]{0,12})-([0-9]{0,12})")
# Samples a second of a sound, all channels together: stereo at 96 kHz.
_SAMPLES_A_S = 192_000


def check_query(query: Query, limits: ServiceLimits) -> None:
    """Refuse a query whose picture or sound would be too expensive to decode.

    Raises:
        RequestRefusedError: it would be, or it cannot be decoded at all.
    """
    if query.image is not None:
        check_picture(query.image, limits.picture_pixels)
    if query.sound is not None:
        check_sound(query.sound, limits.sound_s)


def check_picture(data: bytes, max_pixels: int) -> None:
    """Refuse a picture that would be too expensive to decode.

    Raises:
        RequestRefusedError: it would be, or it is no picture.
    """
    try:
        header = read_header(data, max_pixels)
    except UndecodableMediaError as error:
        if error.reason == "too_many_pixels":
            raise RequestRefusedError(
                413, f"the picture has more than {max_pixels:,} pixels; send a smaller one"
            ) from None
        if error.reason == "too_complex":
            raise RequestRefusedError(
                413, "the picture takes long to decode; save it as a plain JPEG and send that"
            ) from None
        raise RequestRefusedError(422, _NO_PICTURE) from None
    if header.format not in _FORMATS:
        raise RequestRefusedError(422, _NO_PICTURE)


def check_sound(data: bytes, max_s: float) -> None:
    """Refuse a sound that would be too expensive to decode.

    Args:
        data: the file.
        max_s: seconds that it may have.

    Raises:
        RequestRefusedError: it would be, or it is no sound.
    """
    try:
        with open_sound(data) as file:
            form, frames, channels, rate_hz = file.format, file.frames, file.channels, file.samplerate
    except UndecodableMediaError as error:
        if error.reason == "too_complex":
            raise RequestRefusedError(
                413, f"the sound is longer than {max_s:g} s; send a part of it"
            ) from None
        raise RequestRefusedError(422, _NO_SOUND) from None
    if form not in _SOUND_FORMATS:
        raise RequestRefusedError(422, _NO_SOUND)
    if frames > max_s * rate_hz or frames * channels > max_s * _SAMPLES_A_S:
        raise RequestRefusedError(413, f"the sound is longer than {max_s:g} s; send a part of it")


def make_media_response(data: bytes, content_type: str, range_: str | None) -> Response:
    """Return a response with media, or with a byte range of it, which browsers need to seek.

    Args:
        data: the whole file.
        content_type: of the file.
        range_: the Range header of the request.

    Raises:
        RequestRefusedError: the range begins after the end.
    """
    # The media of a key never change; a purge may remove them.
    headers = {"Accept-Ranges": "bytes", "Cache-Control": "private, max-age=86400"}
    match = _RANGE.fullmatch(range_ or "")
    if match is None or not any(match.groups()):
        return Response(data, media_type=content_type, headers=headers)
    first, last = match.groups()
    # "-N" means the last N bytes.
    start = int(first) if first else max(0, len(data) - int(last))
    end = min(int(last), len(data) - 1) if first and last else len(data) - 1
    if start > end:
        raise RequestRefusedError(416, f"there are {len(data)} bytes; ask for some of them")
    headers["Content-Range"] = f"bytes {start}-{end}/{len(data)}"
    return Response(data[start : end + 1], 206, headers, content_type)


class ImageFetcher:
    """Fetches the pictures that queries name, like the crawl: guarded, with a deadline and a size limit.

    For one event loop.

    Args:
        settings: whether such queries are allowed, and the limits.
    """

    def __init__(self, settings: ServiceSettings) -> None:
        self._settings = settings
        self._client: HttpClient | None = None

    async def fetch(self, url: str) -> bytes:
        """Return the bytes at a URL.

        Raises:
            RequestRefusedError: such queries are off, or the URL cannot be fetched.
        """
        if not self._settings.allow_image_urls:
            raise RequestRefusedError(
                403, "image_url is off at this service; send the picture itself as image"
            )
        limits = self._settings.limits
        if self._client is None:
            fetch = Fetch(
                timeout_s=limits.fetch_s,
                retries=0,
                max_bytes=limits.body_bytes,
                allow_private_hosts=self._settings.allow_private_image_urls,
            )
            # Local to this replica: a governor of the cluster would be an actor that outlives the service.
            broker = PermitBroker(lease_s=float("inf"))
            permits = HostPermits(broker, find_limits(fetch), fetch.timeout_s, regularly=False)
            self._client = HttpClient(fetch, self._settings.contact, permits)
        with tempfile.SpooledTemporaryFile(max_size=limits.body_bytes + 1) as file:
            response = await self._client.get(url, file)
            if response.outcome != OK:
                raise RequestRefusedError(
                    422, f"image_url leads to no picture that may be had ({response.outcome.reason})"
                )
            file.seek(0)
            return file.read()

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.close()
