"""How a request gets to a host: guarded, directly or through a proxy; its response, strictly or leniently."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager

import aiohttp
from yarl import URL

from pipelines.fetch.addresses import guard
from pipelines.fetch.dns import CachingResolver
from pipelines.fetch.http_proxy import (
    BAD_GATEWAY,
    WANTS_CREDENTIALS,
    HttpProxy,
    make_credentials_error,
    read_proxies,
)
from pipelines.fetch.lenient_http import MAX_LINE_BYTES, LenientClient, LenientResponse, TunnelRefusedError
from pipelines.fetch.outcomes import classify_connect_error
from pipelines.fetch.sockets import MakeSocket, check_host, make_unguarded_socket
from pipelines.fetch.user_agent import make_user_agent
from schemas.dataset import Fetch

CHUNK_BYTES = 65_536
# Shards are shuffled, so a host is seldom asked again soon: idle connections would only use up files.
_KEEP_ALIVE_S = 2.0
# Share of a URL's timeout for connecting: tells a host that does not answer at all from a slow one.
_CONNECT_SHARE = 0.5
# Of the strict parser, which has no cap on all lines together: 4 MiB with lines of 64 KiB, as much as a body
# may take of memory. The lenient reader has such a cap, and takes more lines.
_MAX_HEADERS = 64
# A host that a proxy asks is looked up here no more often than this. The proxy looks it up itself, so a
# shorter time would guard no better.
_CHECKED_S = 60.0
_MAX_CHECKED = 10_000

Response = aiohttp.ClientResponse | LenientResponse
OpenResponse = Callable[..., AbstractAsyncContextManager[Response]]


class HttpTransport:
    """The connections of one client. Made, used and closed in one event loop.

    Args:
        fetch: whether inside addresses are allowed, and for how long is connected.
        contact: who asks; without it no public address is connected to.
    """

    def __init__(self, fetch: Fetch, contact: str | None) -> None:
        self._public = contact is not None
        self._resolver = CachingResolver()
        self._proxies = read_proxies()
        self._headers = {"User-Agent": make_user_agent(contact), "Accept-Encoding": "identity"}
        self._connect_s = fetch.timeout_s * _CONNECT_SHARE
        self._inside = guard(inside=fetch.allow_private_hosts, public=self._public)
        self._outside = guard(inside=False, public=self._public)
        # Pools apart: an open connection to an inside address must not serve a redirect from elsewhere, and
        # what has the guard of nobody must only ever connect to a proxy.
        self._listed = self._make_session(self._inside)
        self._elsewhere = self._make_session(self._outside)
        self._proxied = self._make_session(make_unguarded_socket)
        self._checked_s: dict[tuple[str, bool], float] = {}
        self._lenient = LenientClient(self._resolver, self._headers, self._connect_s)

    async def close(self) -> None:
        """Close all connections."""
        for session in (self._listed, self._elsewhere, self._proxied):
            await session.close()

    def get(
        self, url: URL, headers: Mapping[str, str], *, inside: bool
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        """Request a URL; a redirect is a response.

        Args:
            url: to be requested.
            headers: of this request.
            inside: whether its host may have an inside address, where those are allowed.

        Raises:
            aiohttp.ClientError: there is no response; if a ClientResponseError, what came is none.
            TunnelRefusedError: the proxy did not get through.
            StopJob: the proxy wants credentials.
            OSError: the host's address is not allowed.
        """
        proxy = self._find_proxy(url)
        if proxy is None:
            session = self._listed if inside else self._elsewhere
            return session.get(url, allow_redirects=False, headers=headers)
        return self._get_through(proxy, url, headers, inside=inside)

    @asynccontextmanager
    async def _get_through(
        self, proxy: HttpProxy, url: URL, headers: Mapping[str, str], *, inside: bool
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        await self._check_host(url, inside=inside)
        # The proxy's credentials are for the proxy alone: within a tunnel the host would see them.
        for_host = {**headers, **proxy.headers} if url.scheme == "http" else headers
        for_proxy = proxy.headers if url.scheme == "https" else {}
        with _as_proxy_errors(proxy):
            async with self._proxied.get(
                url, allow_redirects=False, headers=for_host, proxy=proxy.url, proxy_headers=for_proxy
            ) as response:
                await self._check_gateway(url, response.status, proxy)
                yield response

    @asynccontextmanager
    async def get_leniently(
        self, url: URL, headers: Mapping[str, str], *, inside: bool
    ) -> AsyncIterator[LenientResponse]:
        """Request a URL as `get` does, and read what a strict parser does not.

        Args:
            url: to be requested.
            headers: of this request.
            inside: whether its host may have an inside address, where those are allowed.

        Raises:
            NotHttpError: the response is none.
            TunnelRefusedError: the proxy did not get through.
            StopJob: the proxy wants credentials.
            OSError: no connection could be made.
        """
        proxy = self._find_proxy(url)
        if proxy is not None:
            await self._check_host(url, inside=inside)
        async with self._lenient.get(url, headers, self._get_guard(inside=inside), proxy) as response:
            if proxy is not None:
                await self._check_gateway(url, response.status, proxy)
            yield response

    def _get_guard(self, *, inside: bool) -> MakeSocket:
        return self._inside if inside else self._outside

    def _find_proxy(self, url: URL) -> HttpProxy | None:
        return self._proxies.find_proxy(url.scheme, url.raw_host or "", url.port or 0)

    async def _check_host(self, url: URL, *, inside: bool) -> None:
        """Check the host of a request that a proxy will make, unless it was checked a moment ago."""
        host, port = url.raw_host or "", url.port or 0
        now_s = asyncio.get_running_loop().time()
        if self._checked_s.get((host, inside), -_CHECKED_S) > now_s - _CHECKED_S:
            return
        await check_host(self._resolver, host, port, self._get_guard(inside=inside), public=self._public)
        if len(self._checked_s) >= _MAX_CHECKED:
            self._checked_s.clear()
        self._checked_s[host, inside] = now_s

    async def _check_gateway(self, url: URL, status: int, proxy: HttpProxy) -> None:
        """Tell a proxy's own responses from those of the host, which come the same way but for a tunnel."""
        if url.scheme == "https":
            return
        if status == WANTS_CREDENTIALS:
            # A host may say so as well, and must not be able to stop the job. The response to CONNECT is the
            # proxy's for certain.
            await self._lenient.check_credentials(url, proxy)
        if status in BAD_GATEWAY or status == WANTS_CREDENTIALS:
            raise TunnelRefusedError

    def _make_session(self, make_socket: MakeSocket) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            limit=0,  # the worker limits its requests itself
            resolver=self._resolver,
            keepalive_timeout=_KEEP_ALIVE_S,
            socket_factory=make_socket,
        )
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            headers=self._headers,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._connect_s),
            read_bufsize=CHUNK_BYTES,
            max_line_size=MAX_LINE_BYTES,
            max_field_size=MAX_LINE_BYTES,
            max_headers=_MAX_HEADERS,
            trust_env=False,
        )


@contextmanager
def _as_proxy_errors(proxy: HttpProxy) -> Iterator[None]:
    """Turn errors of reaching a proxy, or the host through it, into those that name the proxy."""
    try:
        yield
    except aiohttp.ClientHttpProxyError as error:
        # Not as the cause: it holds the headers of the request, with the credentials.
        if error.status == WANTS_CREDENTIALS:
            raise make_credentials_error(proxy) from None
        raise TunnelRefusedError from None
    except aiohttp.ClientProxyConnectionError as error:
        classify_connect_error(error.os_error)  # stops the job where this machine is out of files
        raise TunnelRefusedError from error
    except (aiohttp.ClientConnectorDNSError, aiohttp.ConnectionTimeoutError) as error:
        raise TunnelRefusedError from error
