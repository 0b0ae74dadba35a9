"""A reverse proxy from a replica's port to the Unix socket of the page's own deployment."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.errors import RequestRefusedError
from pipelines.serve.settings import ServiceLimits

if TYPE_CHECKING:
    import aiohttp

    from pipelines.serve.access import Receive, Scope, Send

# Hop-by-hop headers belong to one connection, not to the message (RFC 9110, section 7.6.1).
_HOP_BY_HOP = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade"}
)
# What a client says of itself is not to be believed; this proxy says it.
_FORWARDED = (b"forwarded", b"x-forwarded-", b"x-real-ip")
_CONNECT_S = 10
_POLL_S = 0.1


class ReverseProxy:
    """An ASGI application that streams the responses of an upstream server. For one event loop.

    The upstream server learns the client's address from X-Forwarded-For.

    Args:
        upstream: its Unix socket.
        limits: of the time until a response begins; a server that hangs holds no request for ever.
    """

    def __init__(self, upstream: Path, limits: ServiceLimits | None = None) -> None:
        self._upstream, self._limits = upstream, limits or ServiceLimits()
        self._session: aiohttp.ClientSession | None = None
        self._has_started = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward a request, and stream its response back."""
        import aiohttp
        from yarl import URL

        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        if self._session is None:
            self._session = aiohttp.ClientSession(
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                # An event stream may be silent until somebody searches.
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S),
                connector=aiohttp.UnixConnector(os.fspath(self._upstream), limit=0),
            )
        query = b"?" + scope["query_string"] if scope["query_string"] else b""
        url = URL(f"http://page{(scope['raw_path'] + query).decode('latin-1')}", encoded=True)
        body = _Body(receive) if _has_body(scope) else None
        begin_s = self._limits.page_s + (self._limits.body_s if body else 0)
        started = False
        try:
            await self._wait_for_start()
            async with (
                asyncio.timeout(begin_s) as deadline,
                self._session.request(
                    scope["method"],
                    url,
                    headers=_make_headers(scope),
                    data=body.chunks() if body else None,
                    allow_redirects=False,
                ) as response,
            ):
                deadline.reschedule(None)
                headers = [list(pair) for pair in _drop_hop_by_hop(response.raw_headers)]
                started = True
                await send({"type": "http.response.start", "status": response.status, "headers": headers})
                await _forward_response(response, body, receive, send)
        except (aiohttp.ClientError, TimeoutError):
            if body and body.error:
                raise body.error from None
            if started:
                raise
            error = b'{"error": "the page is not there at the moment; ask again later"}'
            headers = [[b"content-type", b"application/json"], [b"retry-after", b"5"]]
            await send({"type": "http.response.start", "status": 503, "headers": headers})
            await send({"type": "http.response.body", "body": error})

    async def _wait_for_start(self) -> None:
        """Wait until the upstream server listens for the first time: the page starts after the API.

        Raises:
            TimeoutError: it does not.
        """
        async with asyncio.timeout(self._limits.page_s):
            while not self._has_started:
                try:
                    _, writer = await asyncio.open_unix_connection(self._upstream)
                except OSError:
                    await asyncio.sleep(_POLL_S)
                else:
                    writer.close()
                    self._has_started = True

    async def close(self) -> None:
        """Close its connections."""
        if self._session is not None:
            await self._session.close()


async def _forward_response(
    response: aiohttp.ClientResponse, body: _Body | None, receive: Receive, send: Send
) -> None:
    """Send the body of an upstream response until it ends or the client disconnects."""
    import aiohttp

    is_disconnected = False

    async def watch() -> None:
        nonlocal is_disconnected
        if body is None:
            await receive()  # the empty body
        elif not body.is_read:
            return
        if (await receive())["type"] == "http.disconnect":
            is_disconnected = True
            response.close()

    # The upstream server ends an event stream only when its connection is closed.
    watching = asyncio.create_task(watch())
    try:
        async for chunk in response.content.iter_any():
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    except aiohttp.ClientError:
        if not is_disconnected:
            raise
    finally:
        watching.cancel()


def _make_headers(scope: Scope) -> list[tuple[str, str]]:
    headers = [pair for pair in _drop_hop_by_hop(scope["headers"]) if not pair[0].startswith(_FORWARDED)]
    if client := scope.get("client"):
        headers.append((b"x-forwarded-for", client[0].encode()))
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]


def _drop_hop_by_hop(headers: Any) -> list[tuple[bytes, bytes]]:
    return [(name.lower(), value) for name, value in headers if name.lower() not in _HOP_BY_HOP]


def _has_body(scope: Scope) -> bool:
    names = {name for name, _ in scope["headers"]}
    return bool(names & {b"content-length", b"transfer-encoding"})


class _Body:
    """The body of a request, and the error in it, which aiohttp would replace by its own."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.is_read = False
        self.error: RequestRefusedError | None = None

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body as it arrives."""
        more = True
        while more:
            try:
                message = await self._receive()
            except RequestRefusedError as error:
                self.error = error
                raise
            if message["type"] == "http.disconnect":
                raise ConnectionResetError("the client has gone")
            more = message.get("more_body", False)
            self.is_read = not more
            yield message.get("body", b"")
