"""The page's requests, on their way from a replica's port to the page's own deployment and back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from pipelines.errors import RequestRefusedError

if TYPE_CHECKING:
    import aiohttp

    from pipelines.serve.access import Receive, Scope, Send

# Of one connection, not of the message: each side has its own (RFC 9110, section 7.6.1).
_OF_THE_LINE = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade"}
)
_CONNECT_S = 10


class ReverseProxy:
    """An ASGI application that answers as another server does, chunk by chunk. For one event loop.

    Args:
        to: the other server, http://HOST:PORT.
    """

    def __init__(self, to: str) -> None:
        self._to = to
        self._session: aiohttp.ClientSession | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on and its answer back."""
        import aiohttp
        from yarl import URL

        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        if self._session is None:
            self._session = aiohttp.ClientSession(
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                # A stream of events may be silent for as long as nobody asks anything.
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S),
                connector=aiohttp.TCPConnector(limit=0),
            )
        query = b"?" + scope["query_string"] if scope["query_string"] else b""
        url = URL(self._to + (scope["raw_path"] + query).decode("latin-1"), encoded=True)
        body = _Body(receive) if _has_body(scope) else None
        started = False
        try:
            async with self._session.request(
                scope["method"],
                url,
                headers=[(k.decode("latin-1"), v.decode("latin-1")) for k, v in _kept(scope["headers"])],
                data=body.chunks() if body else None,
                allow_redirects=False,
            ) as answer:
                headers = [list(pair) for pair in _kept(answer.raw_headers)]
                started = True
                await send({"type": "http.response.start", "status": answer.status, "headers": headers})
                await _pass_on(answer, body, receive, send)
        except aiohttp.ClientError:
            if body and body.error:
                raise body.error from None
            if started:
                raise
            said = b'{"error": "the page is not there at the moment; ask again later"}'
            headers = [[b"content-type", b"application/json"], [b"retry-after", b"5"]]
            await send({"type": "http.response.start", "status": 503, "headers": headers})
            await send({"type": "http.response.body", "body": said})

    async def close(self) -> None:
        """Close its connections."""
        if self._session is not None:
            await self._session.close()


async def _pass_on(answer: aiohttp.ClientResponse, body: _Body | None, receive: Receive, send: Send) -> None:
    """Send on what another server answers, until its end or until the client has gone."""
    import aiohttp

    has_gone = False

    async def watch() -> None:
        nonlocal has_gone
        if body is None:
            await receive()  # the body, which is empty
        elif not body.is_read:
            return
        if (await receive())["type"] == "http.disconnect":
            has_gone = True
            answer.close()

    # A stream of events would go on for nobody: its server notices the closed connection alone.
    watching = asyncio.create_task(watch())
    try:
        async for chunk in answer.content.iter_any():
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    except aiohttp.ClientError:
        if not has_gone:
            raise
    finally:
        watching.cancel()


def _kept(headers: Any) -> list[tuple[bytes, bytes]]:
    return [(name.lower(), value) for name, value in headers if name.lower() not in _OF_THE_LINE]


def _has_body(scope: Scope) -> bool:
    names = {name for name, _ in scope["headers"]}
    return bool(names & {b"content-length", b"transfer-encoding"})


class _Body:
    """The chunks of a request, and what went wrong with them: aiohttp would say so in words of its own."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.is_read = False
        self.error: RequestRefusedError | None = None

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body as it comes."""
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
