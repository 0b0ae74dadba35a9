"""A guarding forward proxy on loopback, for programs that open their own sockets: yt-dlp and ffmpeg.

    yt-dlp, ffmpeg -- CONNECT, or GET http://... --> proxy -- guarded socket --> host

Each video is a visit of its own: an unguessable word in the proxy's URL that opens the proxy to whoever was
given it, a deadline, a cap on bytes, and a note of what went wrong. Addresses are checked for every socket
at the moment it would connect, so redirects and names that change are seen as well. Where a person names a
proxy of their own, requests go on to that one after the same check.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import errno
import secrets
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass

from yarl import URL

from pipelines.errors import EcholensError, HostUnavailableError
from pipelines.fetch.addresses import AddrInfo, guard
from pipelines.fetch.dns import CachingResolver
from pipelines.fetch.outcomes import classify_connect_error
from pipelines.fetch.protocols import HostSlot, Permits
from pipelines.fetch.ratelimit.circuit_breaker import UNREACHED
from pipelines.fetch.video.session import ProxySession
from schemas.dataset import Fetch
from schemas.outcome import make_outcome

_CHUNK_BYTES = 65_536
_HEAD_S = 10.0
_CONNECT_S = 20.0
# Without a byte in either direction: a client that keeps a connection for later, or a host that hangs.
_IDLE_S = 30.0
# Headers that are between the client and us.
_HOP_BY_HOP = (b"proxy-authorization", b"proxy-connection", b"connection", b"keep-alive")


class _RefusedError(Exception):
    """What the client is answered."""

    def __init__(self, status: int, phrase: str, *headers: str) -> None:
        super().__init__(phrase)
        self.answer = "\r\n".join(
            (f"HTTP/1.1 {status} {phrase}", *headers, "Content-Length: 0", "Connection: close", "", "")
        ).encode()


@dataclass(frozen=True, slots=True)
class _Request:
    tunnel: bool
    host: str
    port: int
    head: bytes  # as the host gets it
    absolute: bytes  # as another proxy gets it


class Proxy:
    """The proxy of one worker. Made, used and closed in one event loop.

    Args:
        fetch: whether private hosts are allowed, and the video options.
        contact: who asks; no public address is connected to without.
        permits: of the hosts.
        upstream: a proxy of the person's own, or None.
    """

    def __init__(self, fetch: Fetch, contact: str | None, permits: Permits, upstream: URL | None) -> None:
        self._video = fetch.video
        self._public = contact is not None
        self._inside = fetch.allow_private_hosts
        self._permits = permits
        self._upstream = upstream
        self._names = CachingResolver()
        self._visits: dict[str, ProxySession] = {}
        self._server: asyncio.Server | None = None
        self._free_at_s = 0.0

    async def start(self) -> None:
        """Listen on a free port of loopback."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=_CHUNK_BYTES)

    async def close(self) -> None:
        """Stop listening and close all connections."""
        for visit in [*self._visits.values()]:
            visit.close()
        if self._server is not None:
            self._server.close()

    @asynccontextmanager
    async def visit(self, url: str) -> AsyncIterator[ProxySession]:
        """Open the proxy for one video, until the block ends.

        Args:
            url: of its page; where private hosts are allowed, this page's host alone may be one.
        """
        assert self._server is not None
        port = self._server.sockets[0].getsockname()[1]
        word = secrets.token_urlsafe(32)
        visit = ProxySession(
            proxy_url=f"http://{word}:@127.0.0.1:{port}",
            host=URL(url).host or "",
            max_bytes=self._video.max_bytes,
            timeout_s=self._video.timeout_s,
        )
        self._visits[word] = visit
        try:
            yield visit
        finally:
            del self._visits[word]
            visit.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), _HEAD_S)
            visit, request = self._admitted(head)
            with visit.connected():
                await self._pass(visit, request, reader, writer)
        except _RefusedError as refused:
            writer.write(refused.answer)
        except (OSError, EOFError, TimeoutError, asyncio.LimitOverrunError, asyncio.CancelledError):
            pass  # the client went, the visit is over, or the host hangs: the connection just ends
        finally:
            writer.close()
            with suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()

    def _admitted(self, head: bytes) -> tuple[ProxySession, _Request]:
        line, *lines = head[:-4].split(b"\r\n")
        named = [(line.partition(b":")[0].strip().lower(), line) for line in lines]
        given = {name: line.partition(b":")[2].strip() for name, line in named}
        if (visit := self._visits.get(_word(given.get(b"proxy-authorization", b"")))) is None:
            wanted = 'Proxy-Authenticate: Basic realm="proxy"'
            raise _RefusedError(407, "Proxy Authentication Required", wanted)
        kept = [line for name, line in named if name not in _HOP_BY_HOP]
        request = _request(line, kept)
        if request is None:
            visit.fail(make_outcome("invalid", "bad_redirect"))
            raise _RefusedError(400, "Bad Request")
        return visit, request

    async def _pass(
        self,
        visit: ProxySession,
        request: _Request,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        origin = f"{request.host}:{request.port}"
        if down := self._permits.down(origin):
            visit.fail(down)
            raise _RefusedError(502, "Bad Gateway")
        async with self._permitted(visit, request.host) as turn:
            host_reader, host_writer = await self._connected(visit, request)
            self._permits.reached(origin)
            turn.started()
            try:
                if request.tunnel and self._upstream is None:
                    writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                else:
                    host_writer.write(request.head if self._upstream is None else self._onward(request))
                await self._relay(visit, turn, (reader, writer), (host_reader, host_writer))
            finally:
                host_writer.close()

    @asynccontextmanager
    async def _permitted(self, visit: ProxySession, host: str) -> AsyncIterator[HostSlot]:
        """Wait for the host's permit; the wait is no fault of the video, so its clock stands still."""
        async with AsyncExitStack() as stack:
            with visit.waiting():
                try:
                    turn = await stack.enter_async_context(self._permits.permit(host))
                except HostUnavailableError as refused:
                    visit.fail(refused.outcome)
                    raise _RefusedError(503, "Service Unavailable") from refused
            yield turn

    async def _connected(
        self, visit: ProxySession, request: _Request
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        try:
            async with asyncio.timeout(_CONNECT_S):
                found = await self._addresses(request)
                make = guard(inside=self._inside and request.host == visit.host, public=self._public)
                if self._upstream is not None:
                    for info in found:
                        make(info).close()
                    found = await self._resolved(self._upstream.host or "", self._upstream.port or 80)
                    make = _unguarded
                sock = await _first(found, make)
        except socket.gaierror as error:
            known = error.errno in (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", None))
            visit.fail(make_outcome("dead", "no_such_host") if known else make_outcome("transient", "dns"))
            raise _RefusedError(502, "Bad Gateway") from error
        except TimeoutError as error:
            visit.fail(make_outcome("transient", "timeout"))
            raise _RefusedError(504, "Gateway Timeout") from error
        except OSError as error:
            self._failed(visit, request, error)
            raise _RefusedError(502, "Bad Gateway") from error
        visit.reached()
        return await asyncio.open_connection(sock=sock, limit=_CHUNK_BYTES)

    def _failed(self, visit: ProxySession, request: _Request, error: OSError) -> None:
        try:
            became = classify_connect_error(error)
        except EcholensError as ours:
            visit.fail(ours)
            return
        visit.fail(became)
        if became in UNREACHED and self._upstream is None:
            self._permits.failed(f"{request.host}:{request.port}", became)

    async def _addresses(self, request: _Request) -> list[AddrInfo]:
        try:
            return await self._resolved(request.host, request.port)
        except socket.gaierror:
            if self._upstream is None:
                raise
            return []  # a network whose proxy alone knows names

    async def _resolved(self, host: str, port: int) -> list[AddrInfo]:
        found = await self._names.resolve(host, port, socket.AF_UNSPEC)
        return [
            (each["family"], socket.SOCK_STREAM, each["proto"], "", (each["host"], each["port"]))
            for each in found
        ]

    def _onward(self, request: _Request) -> bytes:
        assert self._upstream is not None
        if self._upstream.user is None:
            return request.absolute
        who = f"{self._upstream.user}:{self._upstream.password or ''}".encode()
        line, _, rest = request.absolute.partition(b"\r\n")
        return line + b"\r\nProxy-Authorization: Basic " + base64.b64encode(who) + b"\r\n" + rest

    async def _relay(
        self,
        visit: ProxySession,
        turn: HostSlot,
        client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        host: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        now = asyncio.get_running_loop().time
        async with asyncio.timeout(_IDLE_S) as idle:

            async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, down: bool) -> None:
                while data := await reader.read(_CHUNK_BYTES):
                    if down:
                        visit.count(len(data))
                        idle.reschedule(None)  # a limit's wait is ours
                        await turn.took(len(data))
                        await self._throttled(len(data))
                    writer.write(data)
                    await writer.drain()
                    idle.reschedule(now() + _IDLE_S)

            ways = [
                asyncio.create_task(copy(client[0], host[1], down=False)),
                asyncio.create_task(copy(host[0], client[1], down=True)),
            ]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)

    async def _throttled(self, size: int) -> None:
        if self._video.rate_limit:
            now_s = asyncio.get_running_loop().time()
            self._free_at_s = max(now_s, self._free_at_s) + size / self._video.rate_limit
            await asyncio.sleep(self._free_at_s - now_s)


def _word(authorization: bytes) -> str:
    try:
        return base64.b64decode(authorization.removeprefix(b"Basic ").strip()).decode().partition(":")[0]
    except (binascii.Error, UnicodeDecodeError):
        return ""


def _request(line: bytes, kept: list[bytes]) -> _Request | None:
    """Return what is asked for: CONNECT to any port, or any method to an http URL; else None."""
    try:
        method, target, version = line.decode("latin-1").split(" ")
        tunnel = method == "CONNECT"
        url = URL(f"http://{target}" if tunnel else target, encoded=True)
        port = url.port
    except ValueError:
        return None
    if url.scheme != "http" or not url.host or not port or (tunnel and url.explicit_port is None):
        return None
    rest = b"\r\n".join([*kept, *([] if tunnel else [b"Connection: close"]), b"", b""])
    path = url.raw_path_qs or "/"
    return _Request(
        tunnel,
        url.host.lower(),
        port,
        f"{method} {path} {version}\r\n".encode("latin-1") + rest,
        line + b"\r\n" + rest,
    )


async def _first(found: list[AddrInfo], make: Callable[[AddrInfo], socket.socket]) -> socket.socket:
    """Return a socket connected to the first address that takes it."""
    problem: OSError = OSError(errno.EHOSTUNREACH, "no address")
    for info in found:
        try:
            sock = make(info)
        except OSError as error:
            problem = error
            continue
        sock.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(sock, info[4])
        except OSError as error:
            sock.close()
            problem = error
            continue
        except BaseException:
            sock.close()
            raise
        return sock
    raise problem


def _unguarded(info: AddrInfo) -> socket.socket:
    """Make a socket to the proxy that a person named themselves."""
    family, kind, protocol, _, _ = info
    return socket.socket(family, kind, protocol)
