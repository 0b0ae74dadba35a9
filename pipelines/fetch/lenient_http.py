"""A lenient reader of HTTP/1 responses, for servers whose headers a strict parser refuses and curl reads.

| response                                                | here                                          |
|---------------------------------------------------------|-----------------------------------------------|
| a blank before a colon, a header on two lines           | as if it were not there; joined               |
| a line without a colon, lines that end in LF            | skipped; as CRLF                              |
| Content-Length several times, equal                     | once                                          |
| Content-Length several times, unequal                   | refused: nobody knows where the body ends     |
| Transfer-Encoding: chunked beside Content-Length        | chunked (RFC 9112, 6.3)                       |
| anything after the body                                 | not read                                      |
| no status line of HTTP/1, NUL, a head of over 300 KiB   | refused                                       |

It is safe to be lenient here because every response has a connection of its own, which is closed after it:
nothing that a server smuggles in can be taken for the response to another request.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cached_property

from aiohttp.abc import AbstractResolver
from multidict import CIMultiDict
from yarl import URL

from pipelines.fetch.http_proxy import WANTS_CREDENTIALS, HttpProxy, make_credentials_error
from pipelines.fetch.sockets import MakeSocket, connect_first, make_unguarded_socket, resolve
from schemas.outcome import Outcome, make_outcome

# Of a header line; long Content-Security-Policies have 20 KiB.
MAX_LINE_BYTES = 65_536
# Of all header lines, as in curl.
_MAX_HEAD_BYTES = 300 * 1024
_CHUNK_BYTES = 65_536
# Of sizes and extensions of chunks, beyond as much as the chunks themselves.
_MAX_OVERHEAD_BYTES = 65_536
_STATUS = re.compile(rb"HTTP/1(?:\.\d)?[ \t]+(\d{3})(?:[ \t].*)?")
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CHUNK_SIZE = re.compile(rb"[ \t]*([0-9a-fA-F]{1,15})[ \t]*(?:;.*)?")

_WITHOUT_BODY = frozenset({204, 304})

NOT_HTTP = make_outcome("transient", "not_http")
CONTRADICTORY = make_outcome("invalid", "not_http")


class NotHttpError(Exception):
    """The bytes are no response; `outcome` is that of their URL."""

    def __init__(self, outcome: Outcome = NOT_HTTP) -> None:
        super().__init__(str(outcome))
        self.outcome = outcome


class TunnelRefusedError(Exception):
    """The proxy opened no tunnel to the host."""


@dataclass
class LenientResponse:
    """A response; its body is read once, from `content.iter_any()`."""

    status: int
    headers: CIMultiDict[str]
    reader: asyncio.StreamReader

    @property
    def content(self) -> LenientResponse:
        """The body."""
        return self

    @property
    def content_type(self) -> str:
        """The media type, without parameters."""
        return self.headers.get("Content-Type", "").partition(";")[0].strip().lower()

    @cached_property
    def content_length(self) -> int | None:
        """The length of the body, where the header says it and it is not chunked."""
        if self._is_chunked:
            return None
        values = {
            part.strip() for value in self.headers.getall("Content-Length", ()) for part in value.split(",")
        }
        if len(values) > 1:
            raise NotHttpError(CONTRADICTORY)
        if not values:
            return None
        value = values.pop()
        if not (value.isascii() and value.isdecimal()) or len(value) > 18:
            raise NotHttpError
        return int(value)

    @cached_property
    def _is_chunked(self) -> bool:
        codings = [
            part.strip().lower() for part in ",".join(self.headers.getall("Transfer-Encoding", ())).split(",")
        ]
        codings = [coding for coding in codings if coding not in ("", "identity")]
        if codings and codings != ["chunked"]:
            raise NotHttpError
        return bool(codings)

    async def iter_any(self) -> AsyncIterator[bytes]:
        """Yield the body as it comes.

        Raises:
            NotHttpError: its chunks are none.
            asyncio.IncompleteReadError: it ends before its end.
        """
        if self.status in _WITHOUT_BODY:
            return
        if not self._is_chunked:
            async for data in self._read_exactly(self.content_length):
                yield data
            return
        overhead = received = 0
        while True:
            line = await _read_line(self.reader)
            match = _CHUNK_SIZE.fullmatch(line)
            overhead += len(line) + 2
            if match is None or overhead > _MAX_OVERHEAD_BYTES + received:
                raise NotHttpError
            size = int(match[1], 16)
            if not size:
                return
            async for data in self._read_exactly(size):
                received += len(data)
                yield data
            if await _read_line(self.reader):
                raise NotHttpError

    async def _read_exactly(self, size: int | None) -> AsyncIterator[bytes]:
        left = size
        while left is None or left > 0:
            data = await self.reader.read(_CHUNK_BYTES if left is None else min(left, _CHUNK_BYTES))
            if not data and left is None:
                return
            if not data:
                raise asyncio.IncompleteReadError(b"", left)
            left = None if left is None else left - len(data)
            yield data


class LenientClient:
    """Makes single requests, each with a connection of its own.

    Args:
        resolver: of names.
        headers: of every request.
        connect_s: for connecting, TLS included.
    """

    def __init__(self, resolver: AbstractResolver, headers: Mapping[str, str], connect_s: float) -> None:
        self._resolver, self._headers, self._connect_s = resolver, headers, connect_s

    @cached_property
    def _context(self) -> ssl.SSLContext:
        return ssl.create_default_context()

    @asynccontextmanager
    async def get(
        self, url: URL, headers: Mapping[str, str], make_socket: MakeSocket, proxy: HttpProxy | None
    ) -> AsyncIterator[LenientResponse]:
        """Request a URL; a redirect is a response.

        Args:
            url: to be requested.
            headers: of this request, besides those of all.
            make_socket: the guard of the host's addresses.
            proxy: through which it goes, for which the addresses have been checked.

        Raises:
            NotHttpError: the response is none.
            TunnelRefusedError: the proxy opened no tunnel.
            StopJob: the proxy wants credentials.
            OSError: no connection could be made.
        """
        async with asyncio.timeout(self._connect_s):
            reader, writer = await self._connect(url, make_socket, proxy)
        try:
            plain_proxy = proxy if url.scheme == "http" else None
            writer.write(self._make_head(url, headers, plain_proxy))
            await writer.drain()
            response = await read_head(reader)
            while 100 <= response.status < 200:
                response = await read_head(reader)
            yield response
        finally:
            writer.close()

    async def check_credentials(self, url: URL, proxy: HttpProxy) -> None:
        """Ask a proxy for a tunnel, only to find out whether it wants credentials.

        Raises:
            StopJob: it does.
            TunnelRefusedError: it opens no tunnel.
        """
        async with asyncio.timeout(self._connect_s):
            sock = await connect_to_proxy(self._resolver, proxy)
            reader, writer = await asyncio.open_connection(sock=sock, limit=MAX_LINE_BYTES)
            try:
                await open_tunnel(reader, writer, f"{url.host_subcomponent}:{url.port}", proxy)
            finally:
                writer.close()

    async def _connect(
        self, url: URL, make_socket: MakeSocket, proxy: HttpProxy | None
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host, port = url.raw_host or "", url.port or 80
        if proxy is None:
            sock = await connect_first(await resolve(self._resolver, host, port), make_socket)
        else:
            sock = await connect_to_proxy(self._resolver, proxy)
        try:
            reader, writer = await asyncio.open_connection(sock=sock, limit=MAX_LINE_BYTES)
        except BaseException:
            sock.close()
            raise
        try:
            if url.scheme == "https":
                if proxy is not None:
                    await open_tunnel(reader, writer, f"{url.host_subcomponent}:{port}", proxy)
                await writer.start_tls(self._context, server_hostname=host)
        except BaseException:
            writer.close()
            raise
        return reader, writer

    def _make_head(self, url: URL, headers: Mapping[str, str], proxy: HttpProxy | None) -> bytes:
        target = str(url) if proxy else url.raw_path_qs
        fields = {"Host": url.host_port_subcomponent, "Connection": "close", **self._headers, **headers}
        lines = [f"{name}: {value}" for name, value in (fields | (proxy.headers if proxy else {})).items()]
        return "\r\n".join([f"GET {target} HTTP/1.1", *lines, "", ""]).encode()


async def connect_to_proxy(resolver: AbstractResolver, proxy: HttpProxy) -> socket.socket:
    """Return a socket connected to a proxy, whose own address is the person's choice.

    Raises:
        TunnelRefusedError: it cannot be reached.
    """
    try:
        return await connect_first(await resolve(resolver, proxy.host, proxy.port), make_unguarded_socket)
    except OSError as error:
        raise TunnelRefusedError from error


async def open_tunnel(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, target: str, proxy: HttpProxy
) -> None:
    """Ask a proxy for a tunnel to HOST:PORT.

    Raises:
        TunnelRefusedError: it opens none.
        StopJob: it wants credentials.
    """
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
    lines += [f"{name}: {value}" for name, value in proxy.headers.items()]
    writer.write("\r\n".join([*lines, "", ""]).encode())
    await writer.drain()
    try:
        response = await read_head(reader)
    except (NotHttpError, EOFError, OSError) as error:
        raise TunnelRefusedError from error
    if response.status == WANTS_CREDENTIALS:
        raise make_credentials_error(proxy)
    if not 200 <= response.status < 300:
        raise TunnelRefusedError


async def read_head(reader: asyncio.StreamReader) -> LenientResponse:
    """Return a response, of which the head has been read.

    Raises:
        NotHttpError: it is none.
        asyncio.IncompleteReadError: the connection ended before.
    """
    line = await _read_line(reader)
    if (match := _STATUS.fullmatch(line)) is None:
        raise NotHttpError
    size, fields = len(line), list[tuple[bytes, list[bytes]]]()
    while line := await _read_line(reader):
        size += len(line)
        if size > _MAX_HEAD_BYTES or b"\0" in line:
            raise NotHttpError
        if line[:1] in (b" ", b"\t") and fields:
            # Joined at the end: a value of 300 kB that grows by a byte a line is copied 300,000 times.
            fields[-1][1].append(line.strip())
            continue
        name, colon, value = line.partition(b":")
        if colon and _NAME.fullmatch(name.strip()):
            fields.append((name.strip(), [value.strip()]))
    headers = CIMultiDict(
        (name.decode(), b" ".join(values).decode("utf-8", "surrogateescape")) for name, values in fields
    )
    return LenientResponse(int(match[1]), headers, reader)


async def _read_line(reader: asyncio.StreamReader) -> bytes:
    try:
        line = await reader.readuntil(b"\n")
    except asyncio.LimitOverrunError as error:
        raise NotHttpError from error
    return line.removesuffix(b"\n").removesuffix(b"\r")
