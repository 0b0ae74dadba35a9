"""One GET from the open web: guarded addresses, a deadline for all of it, and a cap on its bytes."""

from __future__ import annotations

import asyncio
import errno
import random
import zlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime
from typing import IO

import aiohttp
from yarl import URL

from pipelines.errors import HostUnavailableError, StopJob
from pipelines.fetch.content_encoding import ContentDecoder
from pipelines.fetch.host_headers import read_host_headers
from pipelines.fetch.http_transport import HttpTransport, OpenResponse, Response
from pipelines.fetch.lenient_http import NOT_HTTP, LenientResponse, NotHttpError, TunnelRefusedError
from pipelines.fetch.outcomes import RETRYABLE, classify_error, classify_status, parse_retry_after
from pipelines.fetch.protocols import HostSlot, Permits
from pipelines.fetch.ratelimit.circuit_breaker import UNREACHED
from pipelines.fetch.ratelimit.governor import make_permits
from pipelines.fetch.robots import has_unwanted_directive
from pipelines.fetch.urls import parse_url
from schemas.dataset import Fetch
from schemas.outcome import OK, Outcome, make_outcome

MAX_REDIRECTS = 10  # as most clients have; the fetch standard has 20
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_EXISTS = frozenset({200, 304})
# A body that inflates by more than this ratio, beyond its first MB, is neither picture nor sound: those are
# compressed already. To inflate a bomb up to `max_bytes` takes 55 ms, in which nothing else is read.
_MAX_INFLATION, _FREE_INFLATION_BYTES = 100, 2**20
_DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
# Before the first retry, doubled before each later one; half to all of it, so that retries spread out.
_BACKOFF_S = 0.5


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """The outcome of a GET; if it is ok, the body is in the file that was given.

    Attributes:
        outcome: of the URL.
        content_type: as the server says.
        retry_after_s: for how long the server wants no request.
        location: where a single response redirects to.
    """

    outcome: Outcome
    content_type: str = ""
    retry_after_s: float | None = None
    location: str | None = None


class HttpClient:
    """The HTTP client of one worker. Made, used and closed in one event loop."""

    def __init__(self, fetch: Fetch, contact: str | None, permits: Permits | None = None) -> None:
        self._fetch = fetch
        self._permits = permits or make_permits(fetch)
        self._transport = HttpTransport(fetch, contact)
        self._host_headers = read_host_headers(fetch)

    @property
    def permits(self) -> Permits:
        """The permits of hosts, also for requests that are not made here."""
        return self._permits

    async def close(self) -> None:
        """Close all connections and return permits."""
        await self._transport.close()
        await self._permits.close()

    async def get(self, url: str, body: IO[bytes], since: datetime | None = None) -> HttpResponse:
        """Request a URL, and retry where that may help, until its deadline.

        Args:
            url: of the list.
            body: is overwritten with the body.
            since: only find out whether the URL still exists: with If-Modified-Since, and without reading
                the body.

        Raises:
            ConfigError: a public host would have been asked without a contact.
            StopJob: this machine is out of open files or of disk, or its proxy wants credentials.
        """
        listed = parse_url(url)
        if listed is None:
            return HttpResponse(make_outcome("invalid", "bad_url"))
        now = asyncio.get_running_loop().time
        try:
            async with asyncio.timeout(self._fetch.timeout_s) as deadline:
                tries = 0
                while True:
                    response = await self._follow(listed, body, deadline, since)
                    tries += 1
                    if response.outcome not in RETRYABLE or tries > self._fetch.retries:
                        return response
                    # A pause that the host itself asked for is waited out with its next permit.
                    pause_s = _compute_backoff_s(tries)
                    if now() + pause_s >= (deadline.when() or 0):
                        return response
                    await asyncio.sleep(pause_s)
        except TimeoutError:
            return HttpResponse(make_outcome("transient", "timeout"))
        except HostUnavailableError as refused:
            return HttpResponse(refused.outcome)

    async def _follow(
        self, listed: URL, body: IO[bytes], deadline: asyncio.Timeout, since: datetime | None
    ) -> HttpResponse:
        url: URL = listed
        for _ in range(MAX_REDIRECTS + 1):
            inside = url.raw_host == listed.raw_host
            # Not behind a redirect, be it to the same host: who redirects would choose where they go.
            own = self._host_headers.find(url) if url is listed else {}
            response = await self._request(url, body, deadline, since, own, inside=inside)
            if response.location is None:
                return response
            target = parse_url(response.location, url)
            if target is None:
                return HttpResponse(make_outcome("invalid", "bad_redirect"))
            url = target
        return HttpResponse(make_outcome("invalid", "redirect_loop"))

    async def _request(  # noqa: PLR0913 - a request and how it is made
        self,
        url: URL,
        body: IO[bytes],
        deadline: asyncio.Timeout,
        since: datetime | None,
        own: Mapping[str, str],
        *,
        inside: bool,
    ) -> HttpResponse:
        """Request a URL once, and once more leniently if the response is none by the letter of HTTP."""
        origin = f"{url.raw_host}:{url.port}"
        if down := self._permits.check_origin(origin):
            raise HostUnavailableError(down)
        headers = {**own, **({"If-Modified-Since": format_datetime(since, usegmt=True)} if since else {})}
        attempts: tuple[OpenResponse, ...] = (self._transport.get, self._transport.get_leniently)
        for attempt in attempts:
            body.seek(0)
            body.truncate()
            try:
                async with (
                    self._acquire_slot(url, deadline) as slot,
                    attempt(url, headers, inside=inside) as response,
                ):
                    slot.mark_started()
                    self._permits.report_reached(origin)
                    return await self._take(url, response, body, slot, checking=since is not None)
            except aiohttp.ClientResponseError:
                continue
            except (
                aiohttp.ClientError,
                UnicodeError,
                OSError,
                EOFError,
                NotHttpError,
                TunnelRefusedError,
            ) as error:
                outcome = classify_error(error)
                if outcome in UNREACHED:
                    self._permits.report_failure(origin, outcome)
                return HttpResponse(outcome)
        return HttpResponse(NOT_HTTP)

    async def _take(
        self, url: URL, response: Response, body: IO[bytes], slot: HostSlot, *, checking: bool
    ) -> HttpResponse:
        wait_s = parse_retry_after(response.headers.get("Retry-After"))
        self._permits.report_response(url.raw_host or "", response.status, wait_s)
        if checking and response.status in _EXISTS:
            return HttpResponse(OK)
        location = response.headers.get("Location")
        if response.status in _REDIRECTS and location is not None:
            return HttpResponse(make_outcome("invalid", "bad_redirect"), location=location)
        return await self._read(response, body, wait_s, slot)

    @asynccontextmanager
    async def _acquire_slot(self, url: URL, deadline: asyncio.Timeout) -> AsyncIterator[HostSlot]:
        """Wait for the host's permit; the URL's deadline is paused meanwhile, for it is not its fault."""
        now = asyncio.get_running_loop().time
        left_s = (deadline.when() or 0) - now()
        deadline.reschedule(None)
        async with self._permits.acquire(url.raw_host or "") as slot:
            deadline.reschedule(now() + left_s)
            yield slot

    async def _read(
        self, response: Response, body: IO[bytes], wait_s: float | None, slot: HostSlot
    ) -> HttpResponse:
        outcome = classify_status(response.status)
        if outcome == OK and has_unwanted_directive(response.headers.getall("X-Robots-Tag", ())):
            outcome = make_outcome("blocked", "robots_noai")
        if outcome == OK:
            if (response.content_length or 0) > self._fetch.max_bytes:
                outcome = make_outcome("invalid", "too_many_bytes")
            else:
                decoder = ContentDecoder(response.headers.get("Content-Encoding", ""))
                outcome = await _copy(response.content, body, decoder, self._fetch.max_bytes, slot)
        return HttpResponse(outcome, response.content_type, wait_s)


async def _copy(
    stream: aiohttp.StreamReader | LenientResponse,
    body: IO[bytes],
    decoder: ContentDecoder,
    max_bytes: int,
    slot: HostSlot,
) -> Outcome:
    received = size = 0
    async for chunk in stream.iter_any():
        await slot.throttle(len(chunk))
        received += len(chunk)
        most = min(max_bytes, max(_FREE_INFLATION_BYTES, _MAX_INFLATION * received))
        try:
            data = decoder.decode(chunk, most - size + 1)
        except zlib.error:
            return make_outcome("invalid", "undecodable")
        size += len(data)
        if size > most:
            return make_outcome("invalid", "too_many_bytes")
        _write(body, data)
    rest = decoder.finish()
    _write(body, rest)
    return OK if size + len(rest) else make_outcome("invalid", "empty")


def _write(body: IO[bytes], data: bytes) -> None:
    try:
        body.write(data)
    except OSError as error:
        raise make_unwritable_error(error) from error


def _compute_backoff_s(tries: int) -> float:
    backoff_s: float = _BACKOFF_S * 2 ** (tries - 1) * random.uniform(0.5, 1)
    return backoff_s


def make_unwritable_error(error: OSError) -> StopJob:
    """Return the error of temporary files that cannot be written: no room, no permission, no folder."""
    if error.errno in _DISK_FULL:
        return make_disk_full_error()
    return StopJob(
        f"failed/no_permission: temporary files cannot be written ({error.strerror}); "
        "set TMPDIR to a folder where they can, then start the job again"
    )


def make_disk_full_error() -> StopJob:
    """Return the error of a disk without room."""
    return StopJob(
        "failed/disk_full: the disk of temporary files is full; make room there or set TMPDIR to another "
        "folder, then start the job again"
    )
