import asyncio
import io
import time
from contextlib import asynccontextmanager

import pytest
from yarl import URL

from pipelines.fetch.politeness import CONNECTIONS, LocalPermits
from pipelines.fetch.web import Web, checked
from schemas.dataset import Fetch

FETCH = Fetch(timeout_s=1, retries=0, allow_private_hosts=True)


class Recorder:
    """Gives a permit after a while, and remembers what it heard."""

    def __init__(self, wait_s: float) -> None:
        self.wait_s = wait_s
        self.held: list[str] = []
        self.answers: list[tuple[str, int, float | None]] = []

    @asynccontextmanager
    async def permit(self, host):
        await asyncio.sleep(self.wait_s)
        self.held.append(host)
        yield

    def heard(self, host, status, retry_after_s):
        self.answers.append((host, status, retry_after_s))


def got(url, permits=None, fetch=FETCH):
    """Return the answer to a GET and the body."""

    async def get():
        web = Web(fetch, None, permits)
        body = io.BytesIO()
        try:
            return await web.get(url, body), body.getvalue()
        finally:
            await web.close()

    return asyncio.run(get())


def test_waiting_for_a_permit_is_no_fault_of_the_url(server):
    """The deadline's clock stands still while a host's turn has not come."""
    begun = time.monotonic()
    answer, body = got(server.url("put/plain.jpg"), Recorder(wait_s=1.5))

    assert answer.outcome == ("ok", "")
    assert body == server.files["plain.jpg"][0]
    assert time.monotonic() - begun >= 1.5


def test_every_hop_needs_a_permit_and_is_heard(server):
    """A host behind a redirect is asked as politely as one that a list names."""
    permits = Recorder(wait_s=0)
    got(server.url("hops/2"), permits)

    assert permits.held == ["127.0.0.1"] * 3
    assert [status for _, status, _ in permits.answers] == [302, 302, 200]


@pytest.mark.parametrize(
    ("header", "seconds"), [("7", 7.0), ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0), ("soon", None)]
)
def test_retry_after_is_heard(server, header, seconds):
    """In seconds or as a date; a date that is past is now."""
    permits = Recorder(wait_s=0)
    got(server.url(f"status/429?after={header}"), permits)

    assert permits.answers == [("127.0.0.1", 429, seconds)]


def test_the_body_is_that_of_the_last_try(server):
    """What a failed try has written is gone."""
    answer, body = got(server.url("flaky/body?fails=1"), fetch=FETCH.model_copy(update={"retries": 1}))

    assert answer.outcome == ("ok", "")
    assert body == server.files["plain.jpg"][0]


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "deflate"])
def test_a_body_that_was_packed_unasked_is_unpacked(server, encoding):
    """We ask for none, and some servers pack all the same."""
    packed = {"gzip": gzip_of, "x-gzip": gzip_of, "deflate": zlib_of}[encoding](server.files["plain.jpg"][0])
    url = server.put("packed.jpg", packed, Content_Encoding=encoding)

    assert got(url)[1] == server.files["plain.jpg"][0]


@pytest.mark.parametrize(("encoding", "body"), [("br", b"\x0b\x02\x80"), ("gzip", b"no gzip")])
def test_a_body_that_cannot_be_unpacked(server, encoding, body):
    """It is of no use."""
    answer, _ = got(server.put("packed.jpg", body, Content_Encoding=encoding))

    assert answer.outcome == ("invalid", "undecodable")


def gzip_of(data):
    import gzip

    return gzip.compress(data)


def zlib_of(data):
    import zlib

    return zlib.compress(data)


@pytest.mark.parametrize(
    ("url", "base", "expected"),
    [
        ("http://a.example/b c.jpg?d=ü", None, "http://a.example/b%20c.jpg?d=%C3%BC"),
        ("https://a.example", None, "https://a.example"),
        ("/c.jpg", "http://a.example/b/", "http://a.example/c.jpg"),
        ("//b.example/c.jpg", "https://a.example/b/", "https://b.example/c.jpg"),
        ("ftp://a.example/b.jpg", None, None),
        ("http://me@a.example/b.jpg", None, None),
        ("c.jpg", None, None),
    ],
)
def test_urls_are_made_whole_or_refused(url, base, expected):
    """Letters beyond ASCII are quoted, redirects are joined to where they came from."""
    found = checked(url, URL(base) if base else None)

    assert (str(found) if found else None) == expected


def test_limited_hosts_are_asked_as_seldom_as_they_say():
    """Wikimedia: two at once, over all its hosts; others have no limit of this kind."""

    async def most_at_once(*hosts):
        permits = LocalPermits()
        under_way = most = 0

        async def ask(host):
            nonlocal under_way, most
            async with permits.permit(host):
                under_way += 1
                most = max(most, under_way)
                await asyncio.sleep(0.01)
                under_way -= 1

        await asyncio.gather(*(ask(host) for host in hosts * 10))
        return most

    assert CONNECTIONS["wikimedia.org"] == 2
    assert asyncio.run(most_at_once("upload.wikimedia.org", "commons.wikimedia.org", "wikimedia.org")) == 2
    assert asyncio.run(most_at_once("notwikimedia.org", "upload.wikimedia.org.evil.example")) == 20
