"""A guarding forward proxy on loopback, for programs that open their own sockets: yt-dlp and ffmpeg.

    yt-dlp, ffmpeg -- CONNECT, or GET http://... --> proxy -- guarded socket --> host

Each video has a session: an unguessable token in the proxy's URL that authenticates its client, a deadline, a
cap on bytes, and the failure. Addresses are checked for every socket when it would connect, so redirects and
changing names are checked as well. Where the dataset file or the environment names a proxy, requests are
forwarded to it after the same check.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import secrets
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass

from yarl import URL

from pipelines.errors import EcholensError, HostUnavailableError, StopJob
from pipelines.fetch.addresses import guard
from pipelines.fetch.dns import CachingResolver
from pipelines.fetch.http_proxy import (
    BAD_GATEWAY,
    NO_WAY_THROUGH,
    WANTS_CREDENTIALS,
    HttpProxy,
    ProxySettings,
)
from pipelines.fetch.lenient_http import TunnelRefusedError, connect_to_proxy, open_tunnel
from pipelines.fetch.outcomes import classify_connect_error, classify_error
from pipelines.fetch.protocols import HostSlot, Permits
from pipelines.fetch.ratelimit.circuit_breaker import UNREACHED
from pipelines.fetch.sockets import check_host, connect_first, resolve
from pipelines.fetch.urls import parse_url
from pipelines.fetch.video.session import ProxySession
from schemas.dataset import Fetch
from schemas.outcome import make_outcome

_CHUNK_BYTES = 65_536
_HEAD_S = 10.0
_CONNECT_S = 20.0
# Without a byte in either direction: an idle client, or a host that hangs.
_IDLE_S = 30.0
# Headers between the client and this proxy, which are not forwarded.
_HOP_BY_HOP = (b"proxy-authorization", b"proxy-connection", b"connection", b"keep-alive")


class _RefusedError(Exception):
    """An error response to the client."""

    def __init__(self, status: int, phrase: str, *headers: str) -> None:
        super().__init__(phrase)
        self.response = "\r\n".join(
            (f"HTTP/1.1 {status} {phrase}", *headers, "Content-Length: 0", "Connection: close", "", "")
        ).encode()


@dataclass(frozen=True, slots=True)
class _Request:
    tunnel: bool
    host: str
    port: int
    head: bytes  # for the host
    absolute_head: bytes  # for another proxy


class Proxy:
    """The proxy of one worker. Made, used and closed in one event loop.

    Args:
        fetch: whether private hosts are allowed, and the video options.
        contact: who asks; without it no public address is connected to.
        permits: of the hosts.
        proxies: of the dataset file or of the environment, which requests are forwarded to.
    """

    def __init__(self, fetch: Fetch, contact: str | None, permits: Permits, proxies: ProxySettings) -> None:
        self._video = fetch.video
        self._public = contact is not None
        self._inside = fetch.allow_private_hosts
        self._permits = permits
        self._proxies = proxies
        self._resolver = CachingResolver()
        self._sessions: dict[str, ProxySession] = {}
        self._server: asyncio.Server | None = None
        self._free_at_s = 0.0

    async def start(self) -> None:
        """Listen on a free port of loopback."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=_CHUNK_BYTES)

    async def close(self) -> None:
        """Stop listening and close all connections."""
        for session in [*self._sessions.values()]:
            session.close()
        if self._server is not None:
            self._server.close()

    @asynccontextmanager
    async def open_session(self, url: str) -> AsyncIterator[ProxySession]:
        """Admit the client of one video until the block ends.

        Args:
            url: of its page; where private hosts are allowed, only this page's host may be one.
        """
        assert self._server is not None
        port = self._server.sockets[0].getsockname()[1]
        token = secrets.token_urlsafe(32)
        session = ProxySession(
            proxy_url=f"http://{token}:@127.0.0.1:{port}",
            host=page.raw_host or "" if (page := parse_url(url)) else "",
            max_bytes=self._video.max_bytes,
            timeout_s=self._video.timeout_s,
        )
        self._sessions[token] = session
        try:
            yield session
        finally:
            del self._sessions[token]
            session.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), _HEAD_S)
            session, request = self._authenticate(head)
            with session.bind_task():
                await self._forward(session, request, reader, writer)
        except _RefusedError as refused:
            writer.write(refused.response)
        except (OSError, EOFError, TimeoutError, asyncio.LimitOverrunError, asyncio.CancelledError):
            pass  # the client left, the session ended, or the host hangs: the connection just ends
        finally:
            writer.close()
            with suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()

    def _authenticate(self, head: bytes) -> tuple[ProxySession, _Request]:
        line, *lines = head[:-4].split(b"\r\n")
        headers = [(line.partition(b":")[0].strip().lower(), line) for line in lines]
        values = {name: line.partition(b":")[2].strip() for name, line in headers}
        if (session := self._sessions.get(_parse_token(values.get(b"proxy-authorization", b"")))) is None:
            challenge = 'Proxy-Authenticate: Basic realm="proxy"'
            raise _RefusedError(407, "Proxy Authentication Required", challenge)
        request = _parse_request(line, [line for name, line in headers if name not in _HOP_BY_HOP])
        if request is None:
            session.fail(make_outcome("invalid", "bad_redirect"))
            raise _RefusedError(400, "Bad Request")
        return session, request

    async def _forward(
        self,
        session: ProxySession,
        request: _Request,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        origin = f"{request.host}:{request.port}"
        if down := self._permits.check_origin(origin):
            session.fail(down)
            raise _RefusedError(502, "Bad Gateway")
        scheme = "https" if request.tunnel else "http"
        proxy = self._proxies.find_proxy(scheme, request.host, request.port)
        async with self._acquire_slot(session, request.host) as slot:
            host_reader, host_writer = await self._connect(session, request, proxy)
            self._permits.report_reached(origin)
            slot.mark_started()
            try:
                if request.tunnel:
                    writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                else:
                    host_writer.write(self._build_head(request, proxy))
                watched = session if proxy is not None and not request.tunnel else None
                await self._relay(session, slot, (reader, writer), (host_reader, host_writer), watched)
            finally:
                host_writer.close()

    @asynccontextmanager
    async def _acquire_slot(self, session: ProxySession, host: str) -> AsyncIterator[HostSlot]:
        """Wait for the host's permit; the session's deadline is paused meanwhile."""
        async with AsyncExitStack() as stack:
            with session.pause_clock():
                try:
                    slot = await stack.enter_async_context(self._permits.acquire(host))
                except HostUnavailableError as refused:
                    session.fail(refused.outcome)
                    raise _RefusedError(503, "Service Unavailable") from refused
            yield slot

    async def _connect(
        self, session: ProxySession, request: _Request, proxy: HttpProxy | None
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        try:
            async with asyncio.timeout(_CONNECT_S):
                return await self._connect_through(session, request, proxy)
        except (TunnelRefusedError, StopJob) as error:
            session.fail(error if isinstance(error, StopJob) else NO_WAY_THROUGH)
            raise _RefusedError(502, "Bad Gateway") from error
        except (socket.gaierror, UnicodeError) as error:
            session.fail(classify_error(error))
            raise _RefusedError(502, "Bad Gateway") from error
        except TimeoutError as error:
            session.fail(NO_WAY_THROUGH if proxy else make_outcome("transient", "timeout"))
            raise _RefusedError(504, "Gateway Timeout") from error
        except OSError as error:
            self._report_failure(session, request, error)
            raise _RefusedError(502, "Bad Gateway") from error

    async def _connect_through(
        self, session: ProxySession, request: _Request, proxy: HttpProxy | None
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        make_socket = guard(inside=self._inside and request.host == session.host, public=self._public)
        if proxy is None:
            addresses = await resolve(self._resolver, request.host, request.port)
            sock = await connect_first(addresses, make_socket)
        else:
            await check_host(self._resolver, request.host, request.port, make_socket, public=self._public)
            sock = await connect_to_proxy(self._resolver, proxy)
        session.report_reached()
        reader, writer = await asyncio.open_connection(sock=sock, limit=_CHUNK_BYTES)
        if proxy is not None and request.tunnel:
            host = f"[{request.host}]" if ":" in request.host else request.host
            try:
                await open_tunnel(reader, writer, f"{host}:{request.port}", proxy)
            except BaseException:
                writer.close()
                raise
        return reader, writer

    def _report_failure(self, session: ProxySession, request: _Request, error: OSError) -> None:
        try:
            outcome = classify_connect_error(error)
        except EcholensError as ours:
            session.fail(ours)
            return
        session.fail(outcome)
        if outcome in UNREACHED:
            self._permits.report_failure(f"{request.host}:{request.port}", outcome)

    def _build_head(self, request: _Request, proxy: HttpProxy | None) -> bytes:
        if proxy is None:
            return request.head
        line, _, rest = request.absolute_head.partition(b"\r\n")
        added = "".join(f"{name}: {value}\r\n" for name, value in proxy.headers.items())
        return line + b"\r\n" + added.encode() + rest

    async def _relay(
        self,
        session: ProxySession,
        slot: HostSlot,
        client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        host: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        watched: ProxySession | None,
    ) -> None:
        now = asyncio.get_running_loop().time
        async with asyncio.timeout(_IDLE_S) as idle:

            async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, down: bool) -> None:
                nonlocal watched
                while data := await reader.read(_CHUNK_BYTES):
                    if down:
                        if watched is not None:
                            _watch_gateway(watched, data)
                            watched = None
                        session.count_bytes(len(data))
                        idle.reschedule(None)  # waiting for a rate limit is not idle
                        await slot.throttle(len(data))
                        await self._throttle(len(data))
                    writer.write(data)
                    await writer.drain()
                    idle.reschedule(now() + _IDLE_S)

            copies = [
                asyncio.create_task(copy(client[0], host[1], down=False)),
                asyncio.create_task(copy(host[0], client[1], down=True)),
            ]
            try:
                await asyncio.wait(copies, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in copies:
                    task.cancel()
                await asyncio.gather(*copies, return_exceptions=True)

    async def _throttle(self, size: int) -> None:
        if self._video.rate_limit:
            now_s = asyncio.get_running_loop().time()
            self._free_at_s = max(now_s, self._free_at_s) + size / self._video.rate_limit
            await asyncio.sleep(self._free_at_s - now_s)


def _watch_gateway(session: ProxySession, start: bytes) -> None:
    """Note that the other proxy did not get through, as the first bytes of its response say."""
    status = start[9:12]
    if status.isdigit() and int(status) in {*BAD_GATEWAY, WANTS_CREDENTIALS}:
        session.fail(NO_WAY_THROUGH)


def _parse_token(authorization: bytes) -> str:
    try:
        return base64.b64decode(authorization.removeprefix(b"Basic ").strip()).decode().partition(":")[0]
    except (binascii.Error, UnicodeDecodeError):
        return ""


def _parse_request(line: bytes, headers: list[bytes]) -> _Request | None:
    """Parse a request line: CONNECT to any port, or any method to an http URL; else None."""
    try:
        method, target, version = line.decode("latin-1").split(" ")
        tunnel = method == "CONNECT"
        target = f"http://{target}" if tunnel else target
        url = URL(target, encoded=True)
        port = url.port
    except ValueError:
        return None
    canonical = parse_url(target)
    if canonical is None or canonical.scheme != "http" or not port or (tunnel and url.explicit_port is None):
        return None
    rest = b"\r\n".join([*headers, *([] if tunnel else [b"Connection: close"]), b"", b""])
    path = url.raw_path_qs or "/"
    return _Request(
        tunnel,
        canonical.raw_host or "",
        port,
        f"{method} {path} {version}\r\n".encode("latin-1") + rest,
        line + b"\r\n" + rest,
    )
