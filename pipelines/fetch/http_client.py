"""One GET from the open web: guarded addresses, a deadline for all of it, and a cap on its bytes."""

from __future__ import annotations

import asyncio
import errno
import random
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime
from typing import IO

import aiohttp
from yarl import URL

from pipelines.errors import HostUnavailableError, StopJob
from pipelines.fetch.addresses import guard
from pipelines.fetch.dns import CachingResolver
from pipelines.fetch.outcomes import RETRYABLE, classify_error, classify_status, parse_retry_after
from pipelines.fetch.protocols import HostSlot, Permits
from pipelines.fetch.ratelimit.circuit_breaker import UNREACHED
from pipelines.fetch.ratelimit.governor import make_permits
from pipelines.fetch.robots import has_unwanted_directive
from pipelines.fetch.user_agent import make_user_agent
from schemas.dataset import Fetch
from schemas.outcome import OK, Outcome, make_outcome

MAX_REDIRECTS = 10  # as most clients have; the fetch standard has 20
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_EXISTS = frozenset({200, 304})
_CHUNK_BYTES = 65_536
# A body that inflates by more than this ratio, beyond its first MB, is neither picture nor sound: those are
# compressed already. To inflate a bomb up to `max_bytes` takes 55 ms, in which nothing else is read.
_MAX_INFLATION, _FREE_INFLATION_BYTES = 100, 2**20
_DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
# Shards are shuffled, so a host is seldom asked again soon: idle connections would only use up files.
_KEEP_ALIVE_S = 2.0
# Share of a URL's timeout for connecting: tells a host that does not answer at all from a slow one.
_CONNECT_SHARE = 0.5
# Before the first retry, doubled before each later one; half to all of it, so that retries spread out.
_BACKOFF_S = 0.5


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """The outcome of a GET; if it is ok, the body is in the file that was given."""

    outcome: Outcome
    content_type: str = ""
    retry_after_s: float | None = None


class HttpClient:
    """The HTTP client of one worker. Made, used and closed in one event loop."""

    def __init__(self, fetch: Fetch, contact: str | None, permits: Permits | None = None) -> None:
        self._fetch = fetch
        self._permits = permits or make_permits(fetch)
        resolver = CachingResolver()
        public = contact is not None
        # Two pools: an open connection to an inside address must not serve a redirect from elsewhere.
        connect_s = fetch.timeout_s * _CONNECT_SHARE
        inside = guard(inside=fetch.allow_private_hosts, public=public)
        self._listed = _make_session(inside, resolver, contact, connect_s)
        self._elsewhere = _make_session(guard(inside=False, public=public), resolver, contact, connect_s)

    @property
    def permits(self) -> Permits:
        """The permits of hosts, also for requests that are not made here."""
        return self._permits

    async def close(self) -> None:
        """Close all connections and return permits."""
        await self._listed.close()
        await self._elsewhere.close()
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
            StopJob: this machine is out of open files or of disk.
        """
        listed = check_url(url)
        if listed is None:
            return HttpResponse(make_outcome("invalid", "bad_url"))
        now = asyncio.get_running_loop().time
        try:
            async with asyncio.timeout(self._fetch.timeout_s) as deadline:
                tries = 0
                while True:
                    body.seek(0)
                    body.truncate()
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
        headers = {"If-Modified-Since": format_datetime(since, usegmt=True)} if since else {}
        for _ in range(MAX_REDIRECTS + 1):
            session = self._listed if url.host == listed.host else self._elsewhere
            origin = f"{url.host}:{url.port}"
            if down := self._permits.check_origin(origin):
                raise HostUnavailableError(down)
            try:
                async with (
                    self._acquire_slot(url, deadline) as slot,
                    session.get(url, allow_redirects=False, headers=headers) as response,
                ):
                    slot.mark_started()
                    self._permits.report_reached(origin)
                    location = response.headers.get("Location")
                    wait_s = parse_retry_after(response.headers.get("Retry-After"))
                    self._permits.report_response(url.host or "", response.status, wait_s)
                    if since and response.status in _EXISTS:
                        return HttpResponse(OK)
                    if response.status not in _REDIRECTS or location is None:
                        return await self._read(response, body, wait_s, slot)
            except (aiohttp.ClientError, UnicodeError) as error:
                outcome = classify_error(error)
                if outcome in UNREACHED:
                    self._permits.report_failure(origin, outcome)
                return HttpResponse(outcome)
            target = check_url(location, url)
            if target is None:
                return HttpResponse(make_outcome("invalid", "bad_redirect"))
            url = target
        return HttpResponse(make_outcome("invalid", "redirect_loop"))

    @asynccontextmanager
    async def _acquire_slot(self, url: URL, deadline: asyncio.Timeout) -> AsyncIterator[HostSlot]:
        """Wait for the host's permit; the URL's deadline is paused meanwhile, for it is not its fault."""
        now = asyncio.get_running_loop().time
        left_s = (deadline.when() or 0) - now()
        deadline.reschedule(None)
        async with self._permits.acquire(url.host or "") as slot:
            deadline.reschedule(now() + left_s)
            yield slot

    async def _read(
        self, response: aiohttp.ClientResponse, body: IO[bytes], wait_s: float | None, slot: HostSlot
    ) -> HttpResponse:
        outcome = classify_status(response.status)
        if outcome == OK and has_unwanted_directive(response.headers.getall("X-Robots-Tag", ())):
            outcome = make_outcome("blocked", "robots_noai")
        if outcome == OK:
            inflate = _make_inflater(response.headers.get("Content-Encoding", ""))
            if inflate is None:
                outcome = make_outcome("invalid", "undecodable")
            elif (response.content_length or 0) > self._fetch.max_bytes:
                outcome = make_outcome("invalid", "too_many_bytes")
            else:
                outcome = await _copy(response.content, body, inflate, self._fetch.max_bytes, slot)
        return HttpResponse(outcome, response.content_type, wait_s)


Inflate = Callable[[bytes, int], bytes]


async def _copy(
    stream: aiohttp.StreamReader, body: IO[bytes], inflate: Inflate, max_bytes: int, slot: HostSlot
) -> Outcome:
    received = size = 0
    async for chunk in stream.iter_any():
        await slot.throttle(len(chunk))
        received += len(chunk)
        most = min(max_bytes, max(_FREE_INFLATION_BYTES, _MAX_INFLATION * received))
        try:
            data = inflate(chunk, most - size + 1)
        except zlib.error:
            return make_outcome("invalid", "undecodable")
        size += len(data)
        if size > most:
            return make_outcome("invalid", "too_many_bytes")
        try:
            body.write(data)
        except OSError as error:
            raise make_unwritable_error(error) from error
    return OK if size else make_outcome("invalid", "empty")


def _make_inflater(encoding: str) -> Inflate | None:
    """Return a decoder of a Content-Encoding with a cap on its output; None if it is unknown.

    We ask for none (`identity`), and some servers send one all the same.
    """
    if encoding.strip().lower() in ("", "identity"):
        return lambda data, _: data
    if encoding.strip().lower() not in ("gzip", "x-gzip", "deflate"):
        return None
    inflater = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)  # gzip or zlib, by its header
    return inflater.decompress


def _compute_backoff_s(tries: int) -> float:
    backoff_s: float = _BACKOFF_S * 2 ** (tries - 1) * random.uniform(0.5, 1)
    return backoff_s


def check_url(url: str, base: URL | None = None) -> URL | None:
    """Return a URL that may be requested, or None: http(s), with a host, without credentials."""
    try:
        parsed = URL(url)
        if base is not None:
            parsed = base.join(parsed)
        port = parsed.port
    except (ValueError, TypeError):
        return None
    valid = parsed.scheme in ("http", "https") and parsed.host and port
    return parsed if valid and parsed.user is None and parsed.password is None else None


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


def _make_session(
    socket_factory: Callable[..., object], resolver: CachingResolver, contact: str | None, connect_s: float
) -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(
        limit=0,  # the worker limits its requests itself
        resolver=resolver,
        keepalive_timeout=_KEEP_ALIVE_S,
        socket_factory=socket_factory,  # type: ignore[arg-type]
    )
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        headers={"User-Agent": make_user_agent(contact), "Accept-Encoding": "identity"},
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=connect_s),
        read_bufsize=_CHUNK_BYTES,
        trust_env=False,
    )
