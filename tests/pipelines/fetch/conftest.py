"""A running web server that misbehaves on request, and batches of rows that ask it."""

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from pipelines.stage import Batch
from tests.pipelines.fetch.faulty_server import Server, send_garbage


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
        raw = await asyncio.start_server(send_garbage, "127.0.0.1", 0)
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


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """An environment without a proxy; calling it adds one."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)

    def through(url: str, **others: str) -> None:
        for name, value in {"HTTP_PROXY": url, "https_proxy": url, **others}.items():
            monkeypatch.setenv(name, value)

    return through


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
