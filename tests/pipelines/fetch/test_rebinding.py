import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address

import pytest

from pipelines.fetch import addresses
from pipelines.fetch.stages import FetchImages
from schemas.dataset import Fetch

# Stands for a public address: it is the one of loopback that the tests let pass.
PUBLIC, PRIVATE = "127.0.0.2", "127.0.0.1"


@pytest.fixture
def web(server, monkeypatch):
    """A server on every address; it remembers under which it was reached."""
    reached = []
    body = server.files["plain.jpg"][0]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            reached.append(self.connection.getsockname()[0])
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    monkeypatch.setattr(addresses, "is_public", lambda address: address == ip_address(PUBLIC))
    with ThreadingHTTPServer(("0.0.0.0", 0), Handler) as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        serving.reached = reached
        yield serving
        serving.shutdown()


@pytest.fixture
def resolving(monkeypatch):
    """Let a name have these addresses, look-up by look-up."""

    def to(*lookups):
        left = list(lookups)

        def getaddrinfo(host, port, *_, **__):
            found = left.pop(0) if len(left) > 1 else left[0]
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in found]

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)

    return to


def fetched(asking, port):
    """Return what becomes of a picture of a name, asked by a worker that has asked nobody before."""
    work = FetchImages(Fetch(timeout_s=5, retries=0), "me@example.org").open()
    batch = work(asking(f"http://rebound.example:{port}/a.jpg"))
    work.close()
    return f"{batch['outcome'][0]}/{batch['reason'][0]}".rstrip("/")


def test_a_name_that_moves_inside_is_not_followed(web, resolving, asking):
    """What a name was at its first look-up says nothing of the second: each connection is looked at."""
    resolving([PUBLIC], [PRIVATE])

    assert ["ok", "blocked/private_address"] == [fetched(asking, web.server_port) for _ in range(2)]
    assert [PUBLIC] == web.reached


def test_a_name_with_an_address_inside_reaches_the_others_alone(web, resolving, asking):
    """Of several addresses of a name, those inside are never tried, in whichever order they come."""
    resolving([PRIVATE, PUBLIC])

    assert "ok" == fetched(asking, web.server_port)
    assert [PUBLIC] == web.reached


def test_an_address_inside_is_no_second_choice(web, resolving, asking):
    """Where the public address does not answer, the one inside is not asked in its place."""
    resolving([PUBLIC, PRIVATE])
    with socket.create_server((PRIVATE, 0)) as inside:
        inside.setblocking(False)
        became = fetched(asking, inside.getsockname()[1])

        with pytest.raises(BlockingIOError):
            inside.accept()
    assert became in {"transient/connection_refused", "transient/unreachable", "blocked/private_address"}
