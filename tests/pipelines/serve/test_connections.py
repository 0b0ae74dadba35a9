"""Whoever is slow, sends half of a request or does not read: the others are answered, and it ends."""

import asyncio
import threading
import time
from contextlib import contextmanager
from dataclasses import replace

import httpx
import pytest
import uvloop

from pipelines.serve.http_server import HttpServer
from pipelines.serve.settings import Cap, ServiceLimits, ServiceSettings
from tests.pipelines.serve.sockets import HALF_BODY, HALF_HEAD, connect, count_closed, get, many, read_all
from tests.ports import free_port

MB = 2**20
LARGE = bytes(12 * MB)
PIECES = 100
LIMITS = ServiceLimits(
    header_s=0.5, body_s=0.5, stall_s=0.5, header_bytes=4096, unread_bytes=Cap(100 * MB, 40 * MB)
)
CLOSE = "Connection: close\r\n"
# A deadline, a look at the deadlines, and a loaded machine.
ENDS_WITHIN_S = 6


class Counting:
    """An application that answers with its caller, a large answer, or without reading."""

    def __init__(self):
        self.paths = []

    async def __call__(self, scope, receive, send):
        self.paths.append(scope["path"])
        if scope["path"] == "/pieces":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            for _ in range(PIECES):
                await send({"type": "http.response.body", "body": bytes(2**16), "more_body": True})
            await send({"type": "http.response.body"})
            return
        body = LARGE if scope["path"] == "/large" else scope["client"][0].encode()
        if scope["path"] == "/reads":
            while (await receive()).get("more_body"):
                pass
        headers = [(b"content-length", str(len(body)).encode())]
        if scope["path"] == "/waits":
            while (await receive())["type"] != "http.disconnect":
                pass
            return
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


@contextmanager
def serving(limits=LIMITS, **settings):
    """Serve an application on a port of its own, in a loop like those of Ray's actors; yields both."""
    app = Counting()
    settings = ServiceSettings(port=free_port(), limits=limits, **settings)
    loop, over, started = uvloop.new_event_loop(), asyncio.Event(), threading.Event()

    async def run():
        server = HttpServer.bind_port(settings)
        server.open(app)
        await server.wait_open()
        started.set()
        await over.wait()
        await server.close()

    thread = threading.Thread(target=loop.run_until_complete, args=(run(),), daemon=True)
    thread.start()
    assert started.wait(10)
    try:
        yield settings.port, app
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(20)


@pytest.fixture(scope="module")
def port():
    """A server with short deadlines."""
    with serving() as (port, _):
        yield port


def answer_s(port, path="/v1/about", source="127.0.0.1"):
    """Return the seconds to a whole answer of a fresh client."""
    began = time.monotonic()
    transport = httpx.HTTPTransport(local_address=source)
    with httpx.Client(transport=transport, timeout=10) as client:
        assert 200 == client.get(f"http://127.0.0.1:{port}{path}").status_code
    return time.monotonic() - began


HALVES = {
    "nothing": b"",
    "an empty line": b"\r\n",
    "a letter": b"G",
    "headers": HALF_HEAD,
    "all but the end": get("/v1/about")[:-2],
    "a body": HALF_BODY.replace(b"/v1/lookup", b"/reads"),
}


def test_half_a_request_has_a_deadline(port):
    """Whatever half it is; a client that has said something is told why, unless somebody reads it."""
    clients = {name: connect(port, sent) for name, sent in HALVES.items()}
    told = {name: read_all(client, ENDS_WITHIN_S).partition(b"\r")[0] for name, client in clients.items()}

    assert {b"HTTP/1.1 408 Request Timeout"} == {
        told[name] for name in ("a letter", "headers", "all but the end")
    }
    assert b"" == told["nothing"] == told["a body"]


@pytest.mark.parametrize("begun", [HALF_HEAD, get("/v1/about") + HALF_HEAD], ids=["first", "second"])
def test_headers_that_drip_end_at_the_same_deadline(port, begun):
    """Every letter is new, and the deadline is that of the whole; of a second request, too."""
    client = connect(port, begun)
    began = time.monotonic()
    with pytest.raises(OSError):  # noqa: PT011 - a broken pipe or a reset
        while time.monotonic() < began + ENDS_WITHIN_S:
            client.sendall(b"a")
            time.sleep(0.1)
    client.close()

    assert time.monotonic() - began < ENDS_WITHIN_S


def test_a_body_that_nobody_reads_has_a_deadline(port):
    """The application has answered, and the body drips on."""
    client = connect(port, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n")
    began = time.monotonic()
    with pytest.raises(OSError):  # noqa: PT011
        while time.monotonic() < began + 2 * ENDS_WITHIN_S:
            client.sendall(b"a")
            time.sleep(0.1)
    client.close()


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\nX: " + b"a" * 20_000,
        b"GET / HTTP/1.1\r\n" + b"X: a\r\n" * 4_000,
        b"GET / HTTP/1.1\r\nX: " + b"a" * 20_000 + b"\r\n\r\n",
        b"GET /" + b"a" * 20_000,
        b"GET / HTTP/1.1\r\n" + b"X: a\r\n" * 4_000 + b"\r\n",
    ],
    ids=["one-without-end", "many-without-end", "one", "path", "many"],
)
def test_headers_have_a_size(port, sent):
    """Before they are held in memory, whether they end or not."""
    assert read_all(connect(port, sent), ENDS_WITHIN_S).startswith(b"HTTP/1.1 431 ")


def test_an_answer_that_is_not_read_is_given_up(port):
    """At the deadline; and who reads slowly gets it whole."""
    with many(2, port, get("/large"), buffer=4096) as clients:
        time.sleep(LIMITS.stall_s + 1.5)
        received = [len(read_all(client)) for client in clients]
    steady = connect(port, get("/large"), buffer=MB)
    whole = 0
    while whole < len(LARGE):
        whole += len(steady.recv(MB // 2))
        time.sleep(0.1)
    steady.close()

    assert all(size < len(LARGE) for size in received)


def test_a_stream_that_is_read_slowly_is_sent_whole():
    """It is made as it is taken, so something of it always waits; a client that takes nothing loses it."""
    # A busy machine may stop the reader for a second.
    limits = replace(LIMITS, stall_s=2.0)
    with serving(limits) as (port, _):
        slow, silent = (connect(port, get("/pieces", CLOSE), buffer=2**14) for _ in range(2))
        began, whole = time.monotonic(), 0
        while piece := slow.recv(2**16):
            whole += len(piece)
            # Over several deadlines.
            time.sleep(max(0, began + 7 * whole / (PIECES * 2**16) - time.monotonic()))
        slow.close()

        assert PIECES * 2**16 < whole
        assert time.monotonic() - began > 3 * limits.stall_s
        assert len(read_all(silent)) < PIECES * 2**16


def test_answers_too_small_to_be_noticed_are_given_up_too(port):
    """Many requests on one connection, of which no answer is read: what is left is below every buffer."""
    with many(1, port, get("/v1/about") * 2, buffer=4096) as (client,):
        for _ in range(4):
            client.sendall(get("/large") + get("/v1/about"))
            time.sleep(0.1)
        time.sleep(LIMITS.stall_s + 1.5)

        assert len(read_all(client)) < len(LARGE)


def test_unread_answers_are_held_to_an_amount():
    """The oldest of the client make room, so memory does not grow with their number."""
    limits = replace(LIMITS, stall_s=30)
    asked = get("/large", CLOSE)
    with serving(limits) as (port, app), many(12, port, asked, buffer=2**17) as clients:
        ends = time.monotonic() + 20
        while len(app.paths) < 12:
            assert time.monotonic() < ends
            time.sleep(0.05)
        asked_s = answer_s(port)
        cut = [len(read_all(client, 5)) < len(LARGE) for client in clients]

    assert 3 <= cut.count(False) <= limits.unread_bytes.a_client / len(LARGE) + 1
    assert asked_s < 2


@pytest.mark.parametrize("half", [b"", HALF_HEAD, HALF_BODY], ids=["nothing", "headers", "body"])
def test_1500_halves_keep_nobody_waiting(half):
    """From the very address of those who are answered; the oldest make room."""
    limits = ServiceLimits(header_s=60, body_s=60)
    with serving(limits) as (port, _), many(1500, port, half) as clients:
        waited = [answer_s(port) for _ in range(20)]
        closed = count_closed(clients, 0.3)

    assert max(waited) < 1
    assert 1500 - limits.unfinished.a_client <= closed


def test_connections_have_a_cap():
    """Of one client and in all; others are answered until it is reached, and again after it."""
    limits = replace(LIMITS, connections=Cap(12, 5), header_s=60, body_s=60)
    with serving(limits) as (port, _):
        with many(5, port, get("/waits")):
            time.sleep(0.2)
            refused = read_all(connect(port, get("/v1/about")))
            other = answer_s(port, source="127.0.0.2")
            with many(5, port, get("/waits"), "127.0.0.3"), many(2, port, get("/waits"), "127.0.0.4"):
                time.sleep(0.2)
                full = read_all(connect(port, get("/v1/about"), "127.0.0.5"))
        time.sleep(0.5)
        again = answer_s(port)

    assert refused.startswith(b"HTTP/1.1 503 ")
    assert full.startswith(b"HTTP/1.1 503 ")
    assert other < 2
    assert again < 2


def test_a_request_makes_room_where_connections_are_idle():
    """Sockets that say nothing fill no cap, as each new one takes the place of the oldest."""
    with serving(replace(LIMITS, connections=Cap(10, 5), header_s=60)) as (port, _), many(20, port):
        assert answer_s(port) < 2
        assert answer_s(port, source="127.0.0.2") < 2


def ask_as(port, forwarded):
    """Return the client that the application saw."""
    return httpx.get(f"http://127.0.0.1:{port}/", headers={"X-Forwarded-For": forwarded}).text


def test_a_forwarded_address_is_believed_of_a_named_proxy_only():
    """What a client says of itself would give it as many rates as it can think of."""
    with serving() as (port, _):
        unasked = ask_as(port, "203.0.113.7")
    with serving(proxies=("127.0.0.0/8",)) as (port, _):
        trusted = ask_as(port, "203.0.113.7")
        chained = ask_as(port, "198.51.100.1, 203.0.113.7")
    with serving(proxies=("192.0.2.1",)) as (port, _):
        another = ask_as(port, "203.0.113.7")

    assert ("127.0.0.1", "203.0.113.7", "203.0.113.7", "127.0.0.1") == (unasked, trusted, chained, another)


def test_a_proxy_has_the_connections_of_its_clients():
    """The cap of one client is not a proxy's; that of all is."""
    limits = replace(LIMITS, connections=Cap(10, 2))
    with serving(limits, proxies=("127.0.0.1",)) as (port, _), many(8, port, get("/waits")):
        assert answer_s(port) < 2


def test_requests_that_wait_for_no_answer(caplog):
    """Behind an answer that does not end, a packet of thousands took 40 MB; a few are answered in turn."""
    with serving() as (port, app):
        polite = connect(port, get("/a") * 10 + get("/b", CLOSE))
        assert 11 == read_all(polite).count(b"HTTP/1.1 200")
        flood = connect(port, get("/waits") + get("/never") * 1000)

        assert 1 == count_closed([flood], ENDS_WITHIN_S)
    assert "/never" not in app.paths
