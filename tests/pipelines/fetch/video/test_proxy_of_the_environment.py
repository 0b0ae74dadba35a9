"""The guarding proxy of videos behind the proxy of this machine's environment."""

import asyncio

import pytest
from yt_dlp import YoutubeDL
from yt_dlp.networking import Request

from pipelines.errors import StopJob
from pipelines.fetch.http_client import HttpClient
from pipelines.fetch.video.proxy import Proxy
from pipelines.fetch.video.reader import read_upstream
from schemas.dataset import Fetch, VideoSettings
from tests.pipelines.fetch.forward_proxy import ForwardProxy, list_own_names
from tests.pipelines.fetch.raw_server import RawServer, make_answer

PAGE = make_answer("HTTP/1.1 200 OK", "Content-Length: 2", "Connection: close", body=b"hi")
# A name that only the outer proxy resolves.
HOST = "videos.example"
REFUSAL = "HTTP/1.1 {} No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


def ask(url):
    """Ask for a URL as yt-dlp does; return the body or the error, the failure, and our proxy's URL."""

    def fetch(proxy_url):
        with YoutubeDL({"proxy": proxy_url, "quiet": True, "socket_timeout": 10}) as client:
            try:
                return client.urlopen(Request(url)).read()
            except Exception as error:
                return error

    async def run():
        web = HttpClient(Fetch(), "tests@localhost")
        proxy = Proxy(Fetch(), "tests@localhost", web.permits, read_upstream(VideoSettings()))
        await proxy.start()
        try:
            async with proxy.open_session(url) as session:
                body = await asyncio.to_thread(fetch, session.proxy_url)
                return body, session.failure, session.proxy_url
        finally:
            await proxy.close()
            await web.close()

    return asyncio.run(run())


def test_videos_go_through_the_proxy_of_the_environment(environment):
    """It gets its own credentials, and never the token of ours."""
    with RawServer(PAGE) as server, ForwardProxy(wants=True) as outer:
        environment(outer.url)
        body, failure, ours = ask(f"http://{HOST}:{server.port}/watch?v=1")

    assert (b"hi", None) == (body, failure)
    assert [f"GET http://{HOST}:{server.port}/watch?v=1 HTTP/1.1"] == outer.lines
    assert 1 == outer.heads[0].count(b"Proxy-Authorization: Basic ")
    assert ours.split("/")[2].split(":")[0].encode() not in outer.heads[0]


def test_tunnels_go_through_it(environment, self_signed):
    """TLS stays between the client and the host, whose certificate nobody vouches for here."""
    port = int(self_signed.split("/")[2].rpartition(":")[2])
    with ForwardProxy(wants=True) as outer:
        environment(outer.url)
        error, failure, _ = ask(f"https://{HOST}:{port}/watch")

    assert "CERTIFICATE_VERIFY_FAILED" in str(error)
    assert failure is None
    assert {f"CONNECT {HOST}:{port} HTTP/1.1"} == {*outer.lines}


@pytest.mark.parametrize(
    "url", ["http://10.0.0.1/", "https://169.254.169.254/", *(f"http://{name}/" for name in list_own_names())]
)
def test_inside_addresses_are_not_asked_of_it(environment, url):
    """As little as without it."""
    with ForwardProxy() as outer:
        environment(outer.url)
        _, failure, _ = ask(url)

    assert ("blocked/private_address", []) == (str(failure), outer.heads)


@pytest.mark.parametrize(("scheme", "status"), [("http", 502), ("http", 504), ("https", 403), ("https", 503)])
def test_what_it_does_not_let_through(environment, scheme, status):
    """It is no fault of the video."""
    with ForwardProxy(refuses=REFUSAL.format(status).encode()) as outer:
        environment(outer.url)
        _, failure, _ = ask(f"{scheme}://{HOST}/watch")

    assert "failed/proxy" == str(failure)


def test_a_proxy_that_is_not_there(environment):
    """Likewise."""
    environment("http://127.0.0.1:1")

    assert "failed/proxy" == str(ask(f"http://{HOST}/watch")[1])


def test_a_proxy_that_wants_credentials(environment):
    """It stops the job, in one sentence without them."""
    with ForwardProxy(wants=True) as outer:
        environment(outer.url.replace("me:", "you:"))
        _, failure, _ = ask(f"https://{HOST}/watch")

    assert isinstance(failure, StopJob)
    assert f"failed/proxy: the proxy 127.0.0.1:{outer.port} refuses" in str(failure)


def test_another_host_asked_directly(environment):
    """As NO_PROXY says; nobody listens there."""
    with ForwardProxy() as outer:
        environment(outer.url, NO_PROXY=f"other.example,{HOST}")
        _, failure, _ = ask(f"http://{HOST}/watch")

    assert "dead/no_such_host" == str(failure) or failure.status == "transient"
    assert [] == outer.heads
