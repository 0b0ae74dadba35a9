"""The page's requests reach its own server, and its answers come back as they are."""

import asyncio
import os
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingUnixStreamServer

import httpx
import pytest

from pipelines.serve.access import AccessControl
from pipelines.serve.reverse_proxy import ReverseProxy
from pipelines.serve.settings import ServiceLimits, ServiceSettings

pytestmark = pytest.mark.anyio
PAUSE_S = 0.3


@pytest.fixture(scope="module")
def inner(tmp_path_factory):
    """A server that says what it was asked, or sends a stream of events; its socket."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            if "Content-Length" not in self.headers:
                self.rfile.read()
                return
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(201)
            self.send_header("X-Asked", f"{self.path} {self.headers['Host']} {self.headers['X-Own']}")
            self.send_header("Set-Cookie", "a=1")
            self.send_header("Set-Cookie", "b=2")
            self.end_headers()
            self.wfile.write(body[::-1])

        def do_GET(self):
            self.send_response(302 if self.path == "/page/away" else 200)
            self.send_header("Location", "/page/")
            self.end_headers()
            for number in range(3):
                self.wfile.write(f"data: {number}\n\n".encode())
                self.wfile.flush()
                time.sleep(PAUSE_S)

        def log_message(self, *_):
            pass

        def handle(self):
            with suppress(ConnectionError):
                super().handle()

    path = tmp_path_factory.mktemp("inner") / "page.sock"
    server = ThreadingUnixStreamServer(str(path), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield path
    server.shutdown()
    server.server_close()


async def through(to, method, path, limits=None, **more):
    """Send a request through; return the answer."""
    forward = ReverseProxy(to, limits)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(forward), base_url="http://page.example"
    ) as client:
        told = await client.request(method, path, **more)
    await forward.close()
    return told


async def test_what_is_sent_and_what_comes_back_stay_as_they_are(inner):
    """Path as it was encoded, host, headers and body; of the answer every cookie."""
    sent = {"content": b"abc", "headers": {"X-Own": "yes", "Connection": "close"}}
    told = await through(inner, "POST", "/page/a%2Fb?c=%20d", **sent)

    assert (201, b"cba") == (told.status_code, told.content)
    assert "/page/a%2Fb?c=%20d page.example yes" == told.headers["x-asked"]
    assert ["a=1", "b=2"] == told.headers.get_list("set-cookie")


async def test_a_redirect_is_the_clients_to_follow(inner):
    """It is not followed on the way."""
    assert 302 == (await through(inner, "GET", "/page/away")).status_code


async def test_events_come_as_they_happen(inner):
    """Nothing waits for the end of a stream."""
    came = []

    async def send(message):
        came.append((time.perf_counter(), message.get("body", b"")))

    async def receive():
        return {"type": "http.request", "body": b""}

    scope = {"type": "http", "method": "GET", "raw_path": b"/page/events", "query_string": b"", "headers": []}
    forward = ReverseProxy(inner)
    await forward(scope, receive, send)
    await forward.close()
    times = [at for at, body in came if body]

    assert 3 == len(times)
    assert 1.5 * PAUSE_S < times[-1] - times[0]


async def test_who_goes_away_ends_the_stream(inner):
    """The other server must not go on for nobody: the connection to it is closed."""
    came, gone = [], asyncio.Event()

    async def send(message):
        came.append(message.get("body", b""))
        if came[-1]:
            gone.set()

    messages = iter([{"type": "http.request", "body": b""}])

    async def receive():
        if (first := next(messages, None)) is not None:
            return first
        await gone.wait()
        return {"type": "http.disconnect"}

    scope = {"type": "http", "method": "GET", "raw_path": b"/page/events", "query_string": b"", "headers": []}
    forward = ReverseProxy(inner)
    await forward(scope, receive, send)
    await forward.close()

    assert [b"data: 0\n\n"] == [body for body in came if body]


async def test_a_page_that_is_not_there_is_said_to_be_missing(tmp_path):
    """It comes back: Serve starts it again."""
    told = await through(tmp_path / "page.sock", "GET", "/page/", ServiceLimits(page_s=0.3))

    assert 503 == told.status_code
    assert "retry-after" in told.headers


async def test_who_comes_before_the_page_waits_for_it(inner):
    """The API answers while the page still starts, and its first visitor sees no error."""
    late = inner.with_name("late.sock")
    asking = asyncio.create_task(through(late, "GET", "/page/"))
    await asyncio.sleep(0)
    assert not late.exists()
    os.link(inner, late)

    assert 503 != (await asking).status_code


async def test_a_refusal_of_the_gate_is_not_mistaken_for_a_missing_page(inner):
    """An upload that grows over the limit on its way is told so."""

    async def chunks():
        for _ in range(20):
            yield bytes(100)

    forward = ReverseProxy(inner)
    gate = AccessControl(forward, ServiceSettings(host="0.0.0.0", limits=ServiceLimits(body_bytes=1000)))
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(gate), base_url="http://page.example"
    ) as client:
        told = await client.post("/page/upload", content=chunks())
    await forward.close()

    assert 413 == told.status_code
