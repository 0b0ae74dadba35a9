import contextlib
import email.utils
import socket
import ssl
import time
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import pytest

JPEG, HTML = "image/jpeg", "text/html; charset=utf-8"
JPEG_END = b"\xff\xd9"


@pytest.mark.parametrize(
    ("source", "oddity", "status", "content_type"),
    [
        ("wit", "gone_404", 404, HTML),
        ("wit", "error_503", 503, HTML),
        ("wit", "redirect", 302, None),
        ("cc3m", "gone_404", 404, HTML),
        ("cc3m", "gone_410", 410, HTML),
        ("cc3m", "unauthorized_401", 401, HTML),
        ("cc3m", "forbidden_403", 403, HTML),
        ("cc3m", "legal_451", 451, HTML),
        ("cc3m", "wait_seconds", 429, HTML),
        ("cc3m", "wait_date", 429, HTML),
        ("cc3m", "error_500", 500, HTML),
        ("cc3m", "error_503", 503, HTML),
        ("cc3m", "noai", 200, JPEG),
        ("cc3m", "empty", 200, JPEG),
        ("cc3m", "truncated", 200, JPEG),
        ("cc12m", "giant", 200, "image/png"),
        ("wit", "svg", 200, "image/svg+xml"),
        ("vggsound", "gone_404", 404, HTML),
        ("vggsound", "forbidden_403", 403, HTML),
        ("vggsound", "error_503", 503, HTML),
        ("vggsound", "plain", 200, "video/mp4"),
    ],
)
def test_status(web, source, oddity, status, content_type):
    """A planted row answers with the status that is written here."""
    answer, headers, _ = web.get(web.odd(oddity, source))

    assert (answer, headers["Content-Type"]) == (status, content_type)


def test_html_in_place_of_a_picture(web):
    """Some servers admit it and some say that it is a JPEG."""
    answers = [web.get(web.odd("html", "cc3m", nth)) for nth in (0, 1)]
    answers.append(web.get(web.odd("html", "cc12m")))

    assert all(body.startswith(b"<!DOCTYPE html>") for _, _, body in answers)
    assert {headers["Content-Type"] for _, headers, _ in answers} == {"text/html", JPEG}


def test_noai(web):
    """The picture comes with the wish that it be left alone."""
    _, headers, body = web.get(web.odd("noai", "cc3m"))

    assert headers["X-Robots-Tag"] == "noai, noimageai"
    assert body.endswith(JPEG_END)


def test_retry_after_in_seconds_and_as_a_date(web):
    """Both forms of the header ask for a short wait, every time."""
    for _ in range(2):
        _, seconds, _ = web.get(web.odd("wait_seconds", "cc3m"))
        _, date, _ = web.get(web.odd("wait_date", "cc3m"))
        then = email.utils.parsedate_to_datetime(date["Retry-After"])
        assert seconds["Retry-After"] == "2"
        assert abs(then - datetime.now(UTC)) < timedelta(seconds=10)


def test_a_redirect_leads_to_the_picture(web):
    """After one hop."""
    url = web.odd("redirect", "wit")
    _, headers, _ = web.get(url)
    status, _, body = web.get(web.base + headers["Location"])

    assert headers["Location"].startswith("/moved/wikipedia/commons/")
    assert status == 200
    assert body.endswith(JPEG_END)


def test_a_loop_never_ends(web):
    """Every hop is another URL for a while, and all of them redirect."""
    url = web.odd("loop", "cc3m")
    origin = url.rsplit("/pictures", 1)[0]
    for _ in range(20):
        status, headers, _ = web.get(url)
        assert status == 302
        url = origin + headers["Location"]


@pytest.mark.parametrize(
    ("oddity", "host"),
    [
        pytest.param("private", "169.254.169.254", id="metadata"),
        pytest.param("lan", "10.0.0.1", id="private-network"),
    ],
)
def test_redirects_to_places_that_are_no_ones_business(web, oddity, host):
    """A redirect to an address that a fetcher must not ask."""
    _, headers, _ = web.get(web.odd(oddity, "cc3m"))

    assert urlsplit(headers["Location"]).hostname == host


@pytest.mark.parametrize("source", ["cc3m", "vggsound"])
def test_slow_answers_never_come_whole(web, source):
    """Half comes at once; of the other half, less than five bytes in two seconds."""
    with web.open(web.odd("slow", source)) as response:
        promised = int(response.headers["Content-Length"])
        first = len(response.read(promised // 2))
        response.fp.raw._sock.settimeout(2)
        more = b""
        until = time.monotonic() + 2
        with contextlib.suppress(TimeoutError):
            while time.monotonic() < until:
                more += response.read1(100)

    assert promised > 10_000
    assert first == promised // 2
    assert len(more) < 5


def test_a_length_that_lies(web):
    """Ten terabytes of JPEG, says the header."""
    with web.open(web.odd("lying_length", "cc12m")) as response:
        assert response.headers["Content-Length"] == "10000000000000"


def test_endless(web):
    """No length, and more than a fetcher's usual cap of 50 MB."""
    with web.open(web.odd("endless", "cc12m")) as response:
        assert response.headers["Content-Length"] is None
        assert len(response.read(60_000_000)) == 60_000_000


def test_reset(web):
    """The connection is reset before any answer."""
    with pytest.raises(ConnectionResetError):
        web.get(web.odd("reset", "cc3m"))


def test_refused_and_unresolved(web):
    """Nobody listens on the one URL's port, and the other's host does not exist."""
    refused = urlsplit(web.odd("refused", "cc3m"))
    unknown = urlsplit(web.odd("no_such_host", "cc3m"))

    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((refused.hostname, refused.port), timeout=5)
    assert unknown.hostname.endswith(".invalid")


def test_https_is_not_spoken(web):
    """A TLS handshake gets an answer that is none."""
    url = urlsplit(web.odd("tls", "cc12m"))
    with (
        socket.create_connection((url.hostname, url.port), timeout=5) as raw,
        pytest.raises(ssl.SSLError),
    ):
        ssl.create_default_context().wrap_socket(raw, server_hostname="photos.invalid")
