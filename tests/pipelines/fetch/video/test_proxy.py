import asyncio
import base64
import ipaddress
import os
import socket
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from yarl import URL
from yt_dlp import YoutubeDL
from yt_dlp.networking import Request

from pipelines.errors import ConfigError
from pipelines.fetch import addresses
from pipelines.fetch.http_client import HttpClient
from pipelines.fetch.http_proxy import ProxySettings
from pipelines.fetch.video.ffmpeg_process import find_ffmpeg
from pipelines.fetch.video.proxy import Proxy
from pipelines.fetch.video.reader import read_upstream
from schemas.dataset import Fetch, HostLimit, VideoSettings

METADATA = "http://169.254.169.254/latest/meta-data/"
OPEN = Fetch(allow_private_hosts=True)


def through(client, page, fetch=OPEN, contact=None, proxies=None, **video):
    """Run a client in a thread, with a proxy for one session; return what it returned, and the session."""
    fetch = fetch.model_copy(update={"video": VideoSettings(**video)})

    async def run():
        web = HttpClient(fetch, contact)
        proxy = Proxy(fetch, contact, web.permits, proxies or ProxySettings())
        await proxy.start()
        try:
            async with proxy.open_session(page) as session:
                return await asyncio.to_thread(client, session.proxy_url), session
        finally:
            await proxy.close()
            await web.close()

    return asyncio.run(run())


def by_yt_dlp(url):
    """Return a client that asks for a URL as yt-dlp does."""

    def ask(proxy_url):
        with YoutubeDL({"proxy": proxy_url, "quiet": True, "socket_timeout": 10}) as client:
            try:
                return client.urlopen(Request(url)).read()
            except Exception as error:
                return error

    return ask


def by_ffmpeg(url):
    """Return a client that opens a URL as ffmpeg does for a section."""

    def ask(proxy_url):
        command = [find_ffmpeg(), "-nostdin", "-v", "error", "-i", url, "-f", "null", "-"]
        env = {"http_proxy": proxy_url, "PATH": os.environ["PATH"]}
        return subprocess.run(
            command, capture_output=True, text=True, env=env, timeout=30, check=False
        ).stderr

    return ask


CLIENTS = pytest.mark.parametrize("client", [by_yt_dlp, by_ffmpeg], ids=["yt-dlp", "ffmpeg"])


@CLIENTS
def test_what_is_allowed_passes(server, client):
    """A page's own host, where private hosts are allowed."""
    url = server.put("sound.wav", b"RIFF....WAVE")
    _, session = through(client(url), url)

    assert (None, 1) == (session.failure, server.asked["put/sound.wav"])


@CLIENTS
@pytest.mark.parametrize("fetch", [Fetch(), OPEN], ids=["private-refused", "private-allowed"])
@pytest.mark.parametrize(
    "target",
    [
        pytest.param(METADATA, id="metadata"),
        pytest.param("http://127.0.0.2:{port}/put/secret", id="loopback"),
        pytest.param("http://localhost:{port}/put/secret", id="loopback-by-name"),
        pytest.param("http://10.0.0.1/", id="private-network"),
        pytest.param("https://169.254.169.254/", id="tunnel-to-metadata"),
    ],
)
def test_a_redirect_inside_is_refused(server, client, target, fetch, monkeypatch):
    """Neither yt-dlp nor ffmpeg follows a redirect of a public host to an inside address."""
    monkeypatch.setenv("no_proxy", "*")
    is_public = addresses.is_public
    here = ipaddress.ip_address("127.0.0.1")
    monkeypatch.setattr(addresses, "is_public", lambda address: address == here or is_public(address))
    names = socket.getaddrinfo
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda host, *rest, **more: names(_loopback(host), *rest, **more)
    )
    server.put("secret", b"secret")
    first = server.url(f"to?url={target.format(port=server.port)}")
    answer, session = through(client(first), first, fetch, "me@example.org")

    assert "blocked/private_address" == str(session.failure)
    assert {"to": 1} == dict(server.asked)
    assert b"secret" != answer


def _loopback(host):
    """Give `localhost` an address that is not the one that is public here."""
    return "127.0.0.3" if host == "localhost" else host


@CLIENTS
def test_loopback_is_refused_by_default(server, client):
    """Without `allow_private_hosts` no server of this machine is asked, not even by the page's own name."""
    url = server.put("secret", b"secret")
    _, session = through(client(url), url, Fetch(), "me@example.org")

    assert ("blocked/private_address", 0) == (str(session.failure), server.asked.total())


def test_public_hosts_want_a_contact():
    """Nobody is asked anonymously."""
    _, session = through(by_yt_dlp("http://192.31.196.1/a.mp4"), "http://192.31.196.1/a.mp4", Fetch())

    assert isinstance(session.failure, ConfigError)
    assert session.final


def raw(port, *lines):
    """Send a request as it stands, and return the first line of the answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
        sock.sendall("\r\n".join((*lines, "", "")).encode())
        return sock.makefile("rb").readline().decode().strip()


@pytest.mark.parametrize("token", [None, "", "wrong", "é"], ids=["none", "empty", "wrong", "no-ascii"])
def test_only_a_client_with_the_token_may_pass(server, token):
    """Other programs of the machine find the port, and nothing behind it."""
    url = server.put("a", b"a")
    who = base64.b64encode(f"{token}:".encode()).decode()
    headers = [] if token is None else [f"Proxy-Authorization: Basic {who}"]
    line, _ = through(lambda proxy: raw(URL(proxy).port, f"GET {url} HTTP/1.1", *headers), url)

    assert line.startswith("HTTP/1.1 407 ")
    assert 0 == server.asked.total()


@pytest.mark.parametrize(
    "line",
    [
        "GET / HTTP/1.1",
        "GET file:///etc/passwd HTTP/1.1",
        "GET ftp://127.0.0.1/ HTTP/1.1",
        "CONNECT 127.0.0.1 HTTP/1.1",
        "CONNECT 127.0.0.1:99999 HTTP/1.1",
        "GET http:///x HTTP/1.1",
        "nonsense",
    ],
)
def test_what_is_no_request_to_a_proxy(server, line):
    """Only CONNECT with a port and http URLs are passed on."""

    def ask(proxy):
        who = base64.b64encode(f"{URL(proxy).user}:".encode()).decode()
        return raw(URL(proxy).port, line, f"Proxy-Authorization: Basic {who}")

    answer, session = through(ask, server.url("page"))

    assert answer.startswith("HTTP/1.1 400 ")
    assert "invalid/bad_redirect" == str(session.failure)


def test_the_token_ends_with_the_session(server):
    """What a client kept is of no use later."""
    url = server.put("a", b"a")
    kept = []
    through(kept.append, url)

    assert isinstance(by_yt_dlp(url)(kept[0]), Exception)


def test_bytes_have_a_cap(server):
    """A host that never stops sending is left."""
    _, session = through(by_yt_dlp(server.url("endless")), server.url("endless"), max_bytes=1_000_000)

    assert "invalid/too_many_bytes" == str(session.failure)
    assert session.over.done()


def test_a_session_has_a_deadline(server):
    """However slowly a host drips, the whole of it has an end."""
    _, session = through(by_yt_dlp(server.url("drip")), server.url("drip"), timeout_s=1)

    assert "transient/timeout" == str(session.failure)


def test_rate_limit(server):
    """Bytes come no faster than asked for, all connections together."""
    url = server.put("large", bytes(600_000))
    started = asyncio.new_event_loop().time()
    body, _ = through(by_yt_dlp(url), url, rate_limit=400_000)

    assert 600_000 == len(body)
    assert asyncio.new_event_loop().time() - started >= 1.2


def test_tunnels_keep_tls_between_the_ends(self_signed):
    """The proxy sees nothing of TLS, and the client still refuses a certificate that nobody signed."""
    answer, session = through(by_yt_dlp(self_signed), self_signed)

    assert "CERTIFICATE_VERIFY_FAILED" in str(answer)
    assert session.failure is None


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://photos.invalid/a.mp4", "dead/no_such_host"),
        ("http://127.0.0.1:1/a.mp4", "transient/connection_refused"),
    ],
)
def test_what_cannot_be_reached(url, expected):
    """The proxy knows why, whatever the client makes of its answer."""
    _, session = through(by_yt_dlp(url), url)

    assert expected == str(session.failure)
    assert not session.final


class Upstream:
    """Someone's own proxy, which notes what it is sent and answers everything itself."""

    def __enter__(self):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.heads = []
        threading.Thread(target=self.serve, daemon=True).start()
        return URL(f"http://me:word@127.0.0.1:{self.socket.getsockname()[1]}")

    def serve(self):
        with suppress(OSError):
            while True:
                sock, _ = self.socket.accept()
                with sock:
                    self.heads.append(sock.recv(65_536).decode())
                    sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi")

    def __exit__(self, *_):
        self.socket.close()


def test_a_proxy_of_ones_own(server):
    """It gets the whole URL and its own credentials, and never the token of ours."""
    upstream = Upstream()
    with upstream as url:
        ours = read_upstream(VideoSettings(proxy=str(url)))
        body, _ = through(by_yt_dlp(server.url("page")), server.url("page"), proxies=ours)
        refused, session = through(by_yt_dlp(METADATA), server.url("page"), proxies=ours)
    head = upstream.heads[0]

    assert b"hi" == body
    assert head.startswith(f"GET {server.url('page')} HTTP/1.1\r\n")
    assert [base64.b64encode(b"me:word").decode()] == [
        line.rpartition(" ")[2] for line in head.split("\r\n") if line.startswith("Proxy-Authorization")
    ]
    assert (1, "blocked/private_address") == (len(upstream.heads), str(session.failure))
    assert isinstance(refused, Exception)


def test_a_hosts_limit_holds(server):
    """Two requests to a host that allows one at a time follow each other; waiting costs no time."""
    url = server.url("slow?s=1")
    fetch = OPEN.model_copy(update={"limits": {"127.0.0.1": HostLimit(connections=1)}})

    def twice(proxy_url):
        with ThreadPoolExecutor(2) as threads:
            return list(threads.map(lambda _: by_yt_dlp(url)(proxy_url), range(2)))

    bodies, session = through(twice, url, fetch, timeout_s=5)

    assert [server.files["plain.jpg"][0]] * 2 == bodies
    assert (1, None) == (server.most_under_way, session.failure)
