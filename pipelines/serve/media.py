"""Pictures and sounds of strangers: what is too large is refused by its header, before it is decoded."""

from __future__ import annotations

import io
import re
import tempfile

from starlette.responses import Response

from pipelines.errors import RequestRefusedError
from pipelines.fetch.http_client import HttpClient
from pipelines.fetch.ratelimit.broker import PermitBroker
from pipelines.fetch.ratelimit.limits import find_limits
from pipelines.fetch.ratelimit.permits import HostPermits
from pipelines.serve.settings import ServiceLimits, ServiceSettings
from schemas.dataset import Fetch
from schemas.outcome import OK
from schemas.query import Query

_PICTURES = ("JPEG", "PNG", "WEBP")
_RANGE = re.compile(r"bytes=([0-9]{0,12})-([0-9]{0,12})")
# Of a sound, all channels together, a second: stereo at 96 kHz.
_SAMPLES_A_S = 192_000


def check(query: Query, limits: ServiceLimits) -> None:
    """Refuse a query whose picture or sound would take too much to decode.

    Raises:
        RefusedError: it would, or it is none.
    """
    if query.image is not None:
        check_picture(query.image, limits.picture_pixels)
    if query.sound is not None:
        _check_sound(query.sound, limits.sound_s)


def check_picture(data: bytes, most_pixels: int) -> None:
    """Refuse a picture that would take too much to decode.

    Raises:
        RefusedError: it would, or it is none.
    """
    from PIL import Image

    try:
        # Reads the header; pixels are decoded by whoever asks for them.
        with Image.open(io.BytesIO(data), formats=_PICTURES) as picture:
            width, height = picture.size
    except Image.DecompressionBombError:
        raise RequestRefusedError(
            413, f"the picture has more than {most_pixels:,} pixels; send a smaller one"
        ) from None
    except (OSError, SyntaxError, ValueError, EOFError):
        raise RequestRefusedError(422, "the picture cannot be read; give a JPEG, PNG or WebP") from None
    if width * height > most_pixels:
        raise RequestRefusedError(
            413,
            f"the picture has {width} x {height} pixels and {most_pixels:,} are the most; send a smaller one",
        )


def _check_sound(data: bytes, most_s: float) -> None:
    import soundfile

    try:
        said = soundfile.info(io.BytesIO(data))
    except (soundfile.LibsndfileError, ValueError, TypeError):
        raise RequestRefusedError(422, "the sound cannot be read; give a WAV, FLAC, OGG or MP3") from None
    if said.duration > most_s or said.frames * said.channels > most_s * _SAMPLES_A_S:
        raise RequestRefusedError(413, f"the sound is longer than {most_s:g} s; send a part of it")


def read_part(data: bytes, content_type: str, range_: str | None) -> Response:
    """Return media, or the range of bytes that a player asks for; without ranges a browser cannot seek.

    Raises:
        RefusedError: the range begins behind the end.
    """
    # What a key leads to never changes; a purge may take it away.
    headers = {"Accept-Ranges": "bytes", "Cache-Control": "private, max-age=86400"}
    asked = _RANGE.fullmatch(range_ or "")
    if asked is None or not any(asked.groups()):
        return Response(data, media_type=content_type, headers=headers)
    first, last = asked.groups()
    # "-N" are the last N.
    start = int(first) if first else max(0, len(data) - int(last))
    end = min(int(last), len(data) - 1) if first and last else len(data) - 1
    if start > end:
        raise RequestRefusedError(416, f"there are {len(data)} bytes; ask for some of them")
    headers["Content-Range"] = f"bytes {start}-{end}/{len(data)}"
    return Response(data[start : end + 1], 206, headers, content_type)


class ImageFetcher:
    """Fetches the pictures that queries name, as the crawl does: guarded, with a deadline and a cap.

    Made and used in one event loop.
    """

    def __init__(self, settings: ServiceSettings) -> None:
        self._settings = settings
        self._web: HttpClient | None = None

    async def get(self, url: str) -> bytes:
        """Return the bytes that a URL leads to.

        Raises:
            RefusedError: such queries are off, or the URL leads to nothing that may be had.
        """
        if not self._settings.allow_image_urls:
            raise RequestRefusedError(
                403, "image_url is off at this service; send the picture itself as image"
            )
        limits = self._settings.limits
        if self._web is None:
            fetch = Fetch(
                timeout_s=limits.fetch_s,
                retries=0,
                max_bytes=limits.body_bytes,
                allow_private_hosts=self._settings.allow_private_image_urls,
            )
            # Of this replica alone: a governor of the cluster would be an actor that outlives the service.
            broker = PermitBroker(lease_s=float("inf"))
            permits = HostPermits(broker, find_limits(fetch), fetch.timeout_s, regularly=False)
            self._web = HttpClient(fetch, self._settings.contact, permits)
        with tempfile.SpooledTemporaryFile(max_size=limits.body_bytes + 1) as file:
            answer = await self._web.get(url, file)
            if answer.outcome != OK:
                raise RequestRefusedError(
                    422, f"image_url leads to no picture that may be had ({answer.outcome.reason})"
                )
            file.seek(0)
            return file.read()

    async def close(self) -> None:
        """Close its connections."""
        if self._web is not None:
            await self._web.close()
