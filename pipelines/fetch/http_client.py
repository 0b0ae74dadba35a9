"""One GET from the open web: guarded, with a deadline for the whole of it and a cap on its bytes."""

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
from pipelines.fetch.outcomes import AGAIN, classify_error, classify_status, parse_retry_after
from pipelines.fetch.protocols import HostSlot, Permits, find_unwanted_directive, make_user_agent
from pipelines.fetch.ratelimit.circuit_breaker import UNREACHED
from pipelines.fetch.ratelimit.governor import make_permits
from schemas.dataset import Fetch
from schemas.outcome import OK, Outcome, make_outcome

MAX_REDIRECTS = 10  # as most clients; 20 is the fetch standard's
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_THERE = frozenset({200, 304})
_CHUNK_BYTES = 65_536
# What is inflated to more than so many times its bytes, beyond the first of them, is no picture and no sound:
# those are packed already. To inflate a bomb up to `max_bytes` takes 55 ms, in which nothing else is read.
_MOST_INFLATION, _INFLATED_ANYWAY_BYTES = 100, 2**20
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
# Shards are shuffled, so a host seldom comes again at once: idle connections would only use up files.
_KEEP_ALIVE_S = 2.0
# Of a URL's time, to connect: a host that does not answer at all is told from one that answers slowly.
_CONNECT_SHARE = 0.5
# Before the second try, doubled before each later one; half to all of it, so that retries spread out.
_BACKOFF_S = 0.5


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """What became of a GET; the body, if it is ok, is in the file that was given."""

    outcome: Outcome
    content_type: str = ""
    retry_after_s: float | None = None


class HttpClient:
    """The client of one worker. Made, used and closed in one event loop."""

    def __init__(self, fetch: Fetch, contact: str | None, permits: Permits | None = None) -> None:
        self._fetch = fetch
        self._permits = permits or make_permits(fetch)
        names = CachingResolver()
        public = contact is not None
        # Two pools: a connection to an inside address, once made, must not serve a redirect from elsewhere.
        connect_s = fetch.timeout_s * _CONNECT_SHARE
        inside = guard(inside=fetch.allow_private_hosts, public=public)
        self._listed = _session(inside, names, contact, connect_s)
        self._elsewhere = _session(guard(inside=False, public=public), names, contact, connect_s)

    @property
    def permits(self) -> Permits:
        """Who says when a host may be asked, also for requests that are not made here."""
        return self._permits

    async def close(self) -> None:
        """Close all connections and give permits back."""
        await self._listed.close()
        await self._elsewhere.close()
        await self._permits.close()

    async def get(self, url: str, into: IO[bytes], since: datetime | None = None) -> HttpResponse:
        """Ask for a URL, again where that may help, until its deadline.

        Args:
            url: of the list.
            into: where the body goes, from its beginning.
            since: only find out whether it is there: what has not changed since then is not sent, and the
                body of what has is not read.

        Raises:
            ConfigError: a public host would have been asked without a contact.
            StopJob: this machine has no more open files or disk to give.
        """
        listed = check_url(url)
        if listed is None:
            return HttpResponse(make_outcome("invalid", "bad_url"))
        now = asyncio.get_running_loop().time
        try:
            async with asyncio.timeout(self._fetch.timeout_s) as deadline:
                tries = 0
                while True:
                    into.seek(0)
                    into.truncate()
                    answer = await self._follow(listed, into, deadline, since)
                    tries += 1
                    if answer.outcome not in AGAIN or tries > self._fetch.retries:
                        return answer
                    # A pause that the host itself asked for is waited out with its next permit.
                    pause_s = _backoff_s(tries)
                    if now() + pause_s >= (deadline.when() or 0):
                        return answer
                    await asyncio.sleep(pause_s)
        except TimeoutError:
            return HttpResponse(make_outcome("transient", "timeout"))
        except HostUnavailableError as refused:
            return HttpResponse(refused.outcome)

    async def _follow(
        self, listed: URL, into: IO[bytes], deadline: asyncio.Timeout, since: datetime | None
    ) -> HttpResponse:
        url: URL = listed
        asking = {"If-Modified-Since": format_datetime(since, usegmt=True)} if since else {}
        for _ in range(MAX_REDIRECTS + 1):
            session = self._listed if url.host == listed.host else self._elsewhere
            origin = f"{url.host}:{url.port}"
            if down := self._permits.down(origin):
                raise HostUnavailableError(down)
            try:
                async with (
                    self._permitted(url, deadline) as turn,
                    session.get(url, allow_redirects=False, headers=asking) as response,
                ):
                    turn.started()
                    self._permits.reached(origin)
                    location = response.headers.get("Location")
                    wait_s = parse_retry_after(response.headers.get("Retry-After"))
                    self._permits.heard(url.host or "", response.status, wait_s)
                    if since and response.status in _THERE:
                        return HttpResponse(OK)
                    if response.status not in _REDIRECTS or location is None:
                        return await self._read(response, into, wait_s, turn)
            except (aiohttp.ClientError, UnicodeError) as error:
                became = classify_error(error)
                if became in UNREACHED:
                    self._permits.failed(origin, became)
                return HttpResponse(became)
            target = check_url(location, url)
            if target is None:
                return HttpResponse(make_outcome("invalid", "bad_redirect"))
            url = target
        return HttpResponse(make_outcome("invalid", "redirect_loop"))

    @asynccontextmanager
    async def _permitted(self, url: URL, deadline: asyncio.Timeout) -> AsyncIterator[HostSlot]:
        """Wait for the host's permit; the wait is no fault of the URL, so its clock stands still."""
        now = asyncio.get_running_loop().time
        left_s = (deadline.when() or 0) - now()
        deadline.reschedule(None)
        async with self._permits.permit(url.host or "") as turn:
            deadline.reschedule(now() + left_s)
            yield turn

    async def _read(
        self, response: aiohttp.ClientResponse, into: IO[bytes], wait_s: float | None, turn: HostSlot
    ) -> HttpResponse:
        became = classify_status(response.status)
        if became == OK and find_unwanted_directive(response.headers.getall("X-Robots-Tag", ())):
            became = make_outcome("blocked", "robots_noai")
        if became == OK:
            inflate = _inflater(response.headers.get("Content-Encoding", ""))
            if inflate is None:
                became = make_outcome("invalid", "undecodable")
            elif (response.content_length or 0) > self._fetch.max_bytes:
                became = make_outcome("invalid", "too_many_bytes")
            else:
                became = await _copy(response.content, into, inflate, self._fetch.max_bytes, turn)
        return HttpResponse(became, response.content_type, wait_s)


Inflate = Callable[[bytes, int], bytes]


async def _copy(
    body: aiohttp.StreamReader, into: IO[bytes], inflate: Inflate, max_bytes: int, turn: HostSlot
) -> Outcome:
    came = size = 0
    async for chunk in body.iter_any():
        await turn.took(len(chunk))
        came += len(chunk)
        most = min(max_bytes, max(_INFLATED_ANYWAY_BYTES, _MOST_INFLATION * came))
        try:
            data = inflate(chunk, most - size + 1)
        except zlib.error:
            return make_outcome("invalid", "undecodable")
        size += len(data)
        if size > most:
            return make_outcome("invalid", "too_many_bytes")
        try:
            into.write(data)
        except OSError as error:
            raise is_unwritable(error) from error
    return OK if size else make_outcome("invalid", "empty")


def _inflater(encoding: str) -> Inflate | None:
    """Return what undoes a Content-Encoding, never making more bytes than asked for; None if nothing can.

    We ask for none (`identity`), and some servers send one all the same.
    """
    if encoding.strip().lower() in ("", "identity"):
        return lambda data, _: data
    if encoding.strip().lower() not in ("gzip", "x-gzip", "deflate"):
        return None
    inflater = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)  # gzip or zlib, by its header
    return inflater.decompress


def _backoff_s(tries: int) -> float:
    backoff_s: float = _BACKOFF_S * 2 ** (tries - 1) * random.uniform(0.5, 1)
    return backoff_s


def check_url(url: str, base: URL | None = None) -> URL | None:
    """Return a URL that may be asked for, or None: http(s), with a host, without credentials."""
    try:
        parsed = URL(url)
        if base is not None:
            parsed = base.join(parsed)
        port = parsed.port
    except (ValueError, TypeError):
        return None
    proper = parsed.scheme in ("http", "https") and parsed.host and port
    return parsed if proper and parsed.user is None and parsed.password is None else None


def is_unwritable(error: OSError) -> StopJob:
    """Return the error of temporary files that cannot be written: no room, no permission, no folder."""
    if error.errno in _FULL:
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


def _session(
    factory: Callable[..., object], names: CachingResolver, contact: str | None, connect_s: float
) -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(
        limit=0,  # the worker counts its requests itself
        resolver=names,
        keepalive_timeout=_KEEP_ALIVE_S,
        socket_factory=factory,  # type: ignore[arg-type]
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
