"""A web server that misbehaves on request, and counts its requests."""

import asyncio
import gzip
import socket
import struct
from collections import Counter

import numpy as np
from aiohttp import web

from tests.pipelines.fetch.pictures import HTML, JPEG, make_faulty_pictures, make_pictures

HTTP = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: %d\r\n"
    b"X-Robots-Tag: other: noai\r\nRetry-After: 3\r\nContent-Encoding: identity\r\n"
    b"Location: http://127.0.0.1:1/\xc3\xbc\r\n\r\n%s"
) % (len(HTML), HTML)


class Server:
    """Answers `/put/NAME` with bytes that a test put there, `/FAULT` with a fault, and counts requests."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.under_way = self.most_under_way = 0
        self.headers: list[dict[str, str]] = []
        self.files = {
            name: (data, {"Content-Type": "image/jpeg"})
            for name, data in (make_pictures() | make_faulty_pictures()).items()
        }
        self.loop = asyncio.new_event_loop()
        self.port = self.garbage_port = 0

    def put(self, name: str, body: bytes, **headers: str) -> str:
        """Serve bytes under a name and return their URL."""
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        self.files[name] = (body, {"Content-Type": "image/jpeg"} | named)
        return self.url(f"put/{name}")

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        """Return the URL of a path."""
        return f"http://{host}:{self.port}/{path}"

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Count the request and answer it."""
        name = request.path.strip("/")
        self.asked[name] += 1
        self.headers.append(dict(request.headers))
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            if name.startswith("put/"):
                body, headers = self.files[name.removeprefix("put/")]
                return web.Response(body=body, headers=headers)
            if name.startswith("status/"):
                headers = {"Retry-After": request.query["after"]} if "after" in request.query else None
                return web.Response(status=int(name.removeprefix("status/")), headers=headers)
            return await getattr(self, name.split("/")[0])(request)
        finally:
            self.under_way -= 1

    async def slow(self, request: web.Request) -> web.StreamResponse:
        """Answer after as many seconds as the query says."""
        await asyncio.sleep(float(request.query["s"]))
        return web.Response(body=JPEG)

    async def drip(self, request: web.Request) -> web.StreamResponse:
        """Send a byte every tenth of a second: no single wait is long."""
        response = web.StreamResponse(headers={"Content-Length": str(len(JPEG))})
        await response.prepare(request)
        for byte in JPEG:
            await response.write(bytes([byte]))
            await asyncio.sleep(0.1)
        return response

    async def endless(self, request: web.Request) -> web.StreamResponse:
        """Send until the other side has had enough."""
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(bytes(65_536))

    async def short_of_length(self, request: web.Request) -> web.StreamResponse:
        """Announce ten times what comes, then close."""
        response = web.StreamResponse(headers={"Content-Length": str(10 * len(JPEG))})
        await response.prepare(request)
        await response.write(JPEG)
        assert request.transport is not None
        request.transport.close()
        return response

    async def under_length(self, request: web.Request) -> web.StreamResponse:
        """Announce a tenth of what comes."""
        assert request.transport is not None
        head = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % (len(JPEG) // 10)
        request.transport.write(head + JPEG)
        await asyncio.sleep(0.1)
        request.transport.close()
        return web.Response()

    async def over_length(self, request: web.Request) -> web.StreamResponse:
        """Announce more than anyone wants."""
        response = web.StreamResponse(headers={"Content-Length": str(10**12)})
        await response.prepare(request)
        await response.write(JPEG)
        await asyncio.sleep(60)
        return response

    async def reset(self, request: web.Request) -> web.StreamResponse:
        """Reset the connection without an answer."""
        assert request.transport is not None
        sock = request.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.transport.abort()
        return web.Response()

    async def flaky(self, request: web.Request) -> web.StreamResponse:
        """Fail with 503 as often as the query says, then answer."""
        fails = self.asked[request.path.strip("/")] <= int(request.query["fails"])
        return web.Response(status=503) if fails else web.Response(body=JPEG)

    async def hops(self, request: web.Request) -> web.StreamResponse:
        """Redirect as often as the path says, then answer."""
        left = int(request.path.rpartition("/")[2])
        if left:
            return web.Response(status=302, headers={"Location": f"/hops/{left - 1}"})
        return web.Response(body=JPEG)

    async def to(self, request: web.Request) -> web.StreamResponse:
        """Redirect to what the query says."""
        return web.Response(status=302, headers={"Location": request.query["url"]})

    async def nowhere(self, request: web.Request) -> web.StreamResponse:
        """Redirect without saying where."""
        return web.Response(status=302)

    async def bomb(self, request: web.Request) -> web.StreamResponse:
        """Send 200 MB of zeros in 200 kB of gzip."""
        return web.Response(body=gzip.compress(bytes(200_000_000), 1), headers={"Content-Encoding": "gzip"})


async def send_garbage(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer `/NUMBER` with HTTP of which a few bytes are others; anything else as a mail server."""
    number = (await reader.readline()).split(b" ")[1][1:]
    answer = b"220 mail.example ESMTP\r\n\r\n"
    if number.isdigit():
        rng = np.random.default_rng(int(number))
        whole = np.frombuffer(HTTP, np.uint8).copy()
        for _ in range(int(rng.integers(1, 6))):
            whole[rng.integers(len(HTTP) - len(HTML) // 2)] = rng.integers(256)
        answer = whole.tobytes()
    writer.write(answer)
    await writer.drain()
    writer.close()
