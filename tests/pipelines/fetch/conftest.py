"""A web server of our own that misbehaves on request, and batches of rows that ask it."""

import asyncio
import contextlib
import gzip
import io
import socket
import ssl
import struct
import threading
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import cv2
import numpy as np
import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from PIL import Image

from pipelines.stage import Batch


def drawn(width: int, height: int, seed: int = 0) -> np.ndarray:
    """Return a smooth, random picture, uint8 [height, width, 3]."""
    coarse = np.random.default_rng(seed).integers(0, 255, (8, 8, 3), dtype=np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def encoded(extension: str, picture: np.ndarray, *options: int) -> bytes:
    """Return a picture as a file."""
    done, data = cv2.imencode(f".{extension}", picture, list(options))
    assert done
    return data.tobytes()


def giant_png(side_px: int = 50_000) -> bytes:
    """Return a few bytes of PNG that claim to be `side_px` times `side_px` pixels."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", side_px, side_px, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


JPEG = encoded("jpg", drawn(400, 300))
HTML = b"<!DOCTYPE html><html><body>This picture has moved.</body></html>"
HTTP = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: %d\r\n"
    b"X-Robots-Tag: other: noai\r\nRetry-After: 3\r\nContent-Encoding: identity\r\n"
    b"Location: http://127.0.0.1:1/\xc3\xbc\r\n\r\n%s"
) % (len(HTML), HTML)


def saved(picture: np.ndarray, mode: str, form: str, **options: object) -> bytes:
    """Return a picture as Pillow writes it."""
    file = io.BytesIO()
    Image.fromarray(picture).convert(mode).save(file, form, **options)
    return file.getvalue()


def pictures() -> dict[str, bytes]:
    """Return pictures of all the sorts that the web has."""
    picture = drawn(400, 300)
    turned = Image.Exif()
    turned[0x0112] = 6
    turned[0x010F] = "Echo"
    frames = [Image.fromarray(drawn(300, 280, seed)) for seed in range(3)]
    animated = io.BytesIO()
    frames[0].save(animated, "GIF", save_all=True, append_images=frames[1:])
    return {
        "plain.jpg": JPEG,
        "other.jpg": encoded("jpg", drawn(300, 400, 1)),
        "small.jpg": encoded("jpg", drawn(100, 80)),
        "grey.jpg": saved(picture, "L", "JPEG"),
        "cmyk.jpg": saved(picture, "CMYK", "JPEG"),
        "progressive.jpg": saved(picture, "RGB", "JPEG", progressive=True),
        "rotated.jpg": saved(picture, "RGB", "JPEG", exif=turned),
        "rgb.png": encoded("png", picture),
        "alpha.png": saved(picture, "RGBA", "PNG"),
        "palette.png": saved(picture, "P", "PNG"),
        "deep.png": encoded("png", picture.astype(np.uint16) * 257),
        "lossy.webp": encoded("webp", picture),
        "some.avif": encoded("avif", picture),
        "some.tif": encoded("tiff", picture),
        "some.bmp": encoded("bmp", picture),
        "animated.gif": animated.getvalue(),
    }


def no_pictures() -> dict[str, bytes]:
    """Return what comes in place of a picture."""
    whole = pictures()
    cut = {f"cut-{name}": data[: len(data) * 3 // 5] for name, data in whole.items()}
    return cut | {
        "headless.jpg": JPEG[:10],
        "no-end.jpg": JPEG[:-2],
        "page.jpg": HTML,
        "empty.jpg": b"",
        "some.svg": b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
        "noise.jpg": np.random.default_rng(0).bytes(20_000),
        "text.jpg": b"not found",
        "giant.png": giant_png(),
        "large.png": giant_png(1500),
    }


class Server:
    """Answers `/put/NAME` with bytes that a test put there, `/FAULT` with a fault, and counts requests."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.under_way = self.most_under_way = 0
        self.headers: list[dict[str, str]] = []
        self.files = {
            name: (data, {"Content-Type": "image/jpeg"})
            for name, data in (pictures() | no_pictures()).items()
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


async def garbage(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
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


@pytest.fixture(scope="session")
def shared_server() -> Iterator[Server]:
    """One server for the whole session, in a thread of its own."""
    server = Server()
    asyncio.set_event_loop(None)

    async def start() -> web.AppRunner:
        app = web.Application()
        app.router.add_get("/{path:.*}", server.answer)
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        server.port = runner.addresses[0][1]
        raw = await asyncio.start_server(garbage, "127.0.0.1", 0)
        server.garbage_port = raw.sockets[0].getsockname()[1]
        return runner

    thread = threading.Thread(target=server.loop.run_forever, daemon=True)
    thread.start()
    runner = asyncio.run_coroutine_threadsafe(start(), server.loop).result()
    yield server
    asyncio.run_coroutine_threadsafe(runner.cleanup(), server.loop).result()
    server.loop.call_soon_threadsafe(server.loop.stop)
    thread.join()


@pytest.fixture
def server(shared_server: Server) -> Server:
    """The server with its counters at nought."""
    shared_server.asked.clear()
    shared_server.headers.clear()
    shared_server.most_under_way = 0
    return shared_server


@pytest.fixture
def asking() -> Callable[..., Batch]:
    """Make a batch of rows of one list that name the given URLs."""

    def batch(*urls: str, source: str = "cc12m", url: str | None = None, **columns: object) -> Batch:
        rows = len(urls)
        return {
            "key": [f"{row:08d}" for row in range(rows)],
            "media_url": list(urls),
            "url": [url or each for each in urls],
            "source": [source] * rows,
            "outcome": ["ok"] * rows,
            "reason": [""] * rows,
        } | {name: [value] * rows for name, value in columns.items()}

    return batch


@pytest.fixture(scope="session")
def self_signed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a TLS server whose certificate nobody signed."""
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    day = timedelta(days=1)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(datetime.now(UTC) - day)
        .not_valid_after(datetime.now(UTC) + day)
        .sign(key, hashes.SHA256())
    )
    (folder / "certificate.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    (folder / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with contextlib.suppress(OSError), context.wrap_socket(connection, server_side=True):
                    pass

        threading.Thread(target=serve, daemon=True).start()
        yield f"https://127.0.0.1:{listening.getsockname()[1]}/a.jpg"
        listening.shutdown(socket.SHUT_RDWR)
