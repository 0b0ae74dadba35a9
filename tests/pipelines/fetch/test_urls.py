import asyncio
import io
import shutil
import subprocess

import pytest

from pipelines.fetch.http_client import HttpClient
from pipelines.fetch.urls import canonicalize_host, parse_url
from schemas.dataset import Fetch
from tests.pipelines.fetch.raw_server import RawServer, make_answer

FETCH = Fetch(timeout_s=5, retries=0, allow_private_hosts=True)
OK = make_answer("HTTP/1.1 200 OK", "Content-Length: 2", "Connection: close", body=b"ok")

# As a list has it, and as it goes on the wire.
KEPT = {
    "signed": ("a%28b%29.jpg?sig=a%2Fb%3D&to=x%40y", None),
    "lower-case-escapes": ("a%c3%bc%2e.jpg?b=%7e", None),
    "delimiters": ("a;b=c,d@e:f!g$h'(i)*+.jpg?q='(x)'&r=/a?b:c@d,e;f", None),
    "twice-escaped": ("a%2528.jpg", None),
    "lone-percent": ("100%.jpg?a=50%&b=%zz", None),
    "brackets": ("a[1].jpg?x[]=1", None),
    "bar": ("a|b.jpg?titles=A|B", None),
    "plus-and-tilde": ("~a+b.jpg?q=c+d", None),
    "empty-segments": ("a//b///c.jpg", None),
    "empty-query": ("a.jpg?", None),
    "question-marks": ("a.jpg?b?c=?", None),
    "dots-resolved": ("a/./b/../c.jpg", "a/c.jpg"),
    "dots-above-the-root": ("../../c.jpg", "c.jpg"),
    "dots-in-a-query": ("a.jpg?u=../b/./c", None),
    "fragment": ("a.jpg?b=c#d?e", "a.jpg?b=c"),
}
ESCAPED = {
    "blank": ("a b.jpg?c=d e", "a%20b.jpg?c=d%20e"),
    "letters": ("ü.jpg?q=日本", "%C3%BC.jpg?q=%E6%97%A5%E6%9C%AC"),
    "beyond-the-plane": ("😀.jpg", "%F0%9F%98%80.jpg"),
    "illegal": ('a"<>^`{}\\b.jpg?c="<>^`{}\\', "a%22%3C%3E%5E%60%7B%7D%5Cb.jpg?c=%22%3C%3E%5E%60%7B%7D%5C"),
    "no-break-space": ("a\u00a0b.jpg", "a%C2%A0b.jpg"),
    "mixed": ("ü%C3%BC.jpg", "%C3%BC%C3%BC.jpg"),
}


def ask(url: str) -> str:
    """Return the outcome of a GET."""

    async def get() -> str:
        client = HttpClient(FETCH, None)
        try:
            return str((await client.get(url, io.BytesIO())).outcome)
        finally:
            await client.close()

    return asyncio.run(get())


@pytest.mark.parametrize(("written", "wire"), (KEPT | ESCAPED).values(), ids=[*KEPT, *ESCAPED])
def test_what_goes_on_the_wire(written, wire):
    """The list's own bytes; only what no server may be sent is escaped."""
    with RawServer(OK) as server:
        outcome = ask(server.url(written))

    assert ("ok", [f"GET /{wire or written} HTTP/1.1"]) == (outcome, server.lines)
    assert f"\r\nHost: 127.0.0.1:{server.port}\r\n".encode() in server.heads[0]


@pytest.mark.skipif(not shutil.which("curl"), reason="there is no curl here")
def test_curl_sends_the_same():
    """Whatever is not escaped is sent as curl sends it."""
    with RawServer(OK) as server:
        urls = [server.url(written) for written, _ in KEPT.values()]
        for url in urls:
            subprocess.run(["curl", "-gsS", "--noproxy", "*", url], check=True, capture_output=True)
        by_curl = server.lines
        assert ["ok"] * len(urls) == [ask(url) for url in urls]

    assert by_curl == server.lines[len(urls) :]


# `Location` headers, as they come, and what is asked for next.
LOCATIONS = {
    "signed": (b"/b%28c%29.jpg?sig=a%2Fb%3D", "/b%28c%29.jpg?sig=a%2Fb%3D"),
    "utf-8": (b"/\xc3\xbc.jpg?q=\xe6\x97\xa5", "/%C3%BC.jpg?q=%E6%97%A5"),
    "latin-1": (b"/\xfc.jpg?q=\xe9", "/%FC.jpg?q=%E9"),
    "both": (b"/\xfc\xc3\xbc.jpg", "/%FC%C3%BC.jpg"),
    "blank": (b"/b c.jpg", "/b%20c.jpg"),
    "relative": (b"b.jpg", "/x/b.jpg"),
    "above": (b"../b.jpg?c", "/b.jpg?c"),
    "query-alone": (b"?c=%2F", "/x/a.jpg?c=%2F"),
    "fragment": (b"/b.jpg#c", "/b.jpg"),
    "backslashes": (b"\\\\other.example\\b.jpg", "/x/%5C%5Cother.example%5Cb.jpg"),
}


def redirect(location: bytes) -> RawServer:
    """Return a server that redirects once."""
    moved = make_answer("HTTP/1.1 302 Found", b"Location: " + location, "Content-Length: 0")
    return RawServer(lambda head: moved if head.startswith(b"GET /x/a.jpg HTTP") else OK)


@pytest.mark.parametrize(("location", "target"), LOCATIONS.values(), ids=[*LOCATIONS])
def test_a_location_is_taken_as_it_is_written(location, target):
    """By the same rules; a raw byte above 127 is the byte that it is."""
    with redirect(location) as server:
        outcome = ask(server.url("x/a.jpg"))

    assert ("ok", ["GET /x/a.jpg HTTP/1.1", f"GET {target} HTTP/1.1"]) == (outcome, server.lines)


@pytest.mark.skipif(not shutil.which("curl"), reason="there is no curl here")
@pytest.mark.parametrize(
    "location", [LOCATIONS[name][0] for name in ("signed", "utf-8", "latin-1", "both", "blank", "above")]
)
def test_curl_follows_to_the_same(location):
    """Blanks and raw bytes are escaped as curl does it, letter case apart."""
    with redirect(location) as server:
        command = ["curl", "-gsSL", "--noproxy", "*", server.url("x/a.jpg")]
        subprocess.run(command, check=True, capture_output=True)
        assert "ok" == ask(server.url("x/a.jpg"))

    assert server.lines[1].upper() == server.lines[3].upper()


@pytest.mark.parametrize(
    "location", [b"", b"a\tb.jpg", b"/\x01", b"http://me:word@127.0.0.1/", b"ftp://a.example/", b"http:///a"]
)
def test_a_location_that_leads_nowhere(location):
    """It is an outcome, and nothing more is asked."""
    with redirect(location) as server:
        outcome = ask(server.url("x/a.jpg"))

    assert ("invalid/bad_redirect", 1) == (outcome, len(server.heads))


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:{}/a\r\nX-Injected: 1",
        "http://127.0.0.1:{}/a\nb",
        "http://127.0.0.1:{}/a\x00b",
        "http://127.0.0.1:{}/a\tb",
        "http://127.0.0.1:{}/a\x7f",
        "\x01http://127.0.0.1:{}/a",
        "http://127.0.0.1:{}/\ud800",
        "http://127.0.0.1\r\n:{}/",
        "http://me:word@127.0.0.1:{}/",
        "http://:word@127.0.0.1:{}/",
        "http://127.0.0.1\\@localhost:{}/",
        "http://localhost\\.example:{}/",
        "http://127.0.0.1:{}\\a",
        "http://127.0.0.1:+{}/",
        "http://127.0.0.1:{}0000/",
        "http://127.0.0.1:0/{}",
        "http://[::1:{}/",
        "http://[::1%25lo]:{}/",
        "http://[v1.a]:{}/",
        "http://a b:{}/",
        "http://a%00b:{}/",
        "http://a%2Fb:{}/",
        "http://a\u200bb.example:{}/",
        "http://%:{}/",
        "http://:{}/",
        "http:///127.0.0.1:{}/",
        "http:127.0.0.1:{}/",
        "//127.0.0.1:{}/",
        "ftp://127.0.0.1:{}/",
        "file:///etc/passwd?{}",
        "",
    ],
    ids=ascii,
)
def test_what_is_no_url_is_asked_of_nobody(url):
    """An outcome, whatever is wrong; parsers that read it differently never get to see it."""
    with RawServer(OK) as server:
        assert "invalid/bad_url" == ask(url.format(server.port))

    assert [] == server.heads


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("A.Example", "a.example"),
        ("a.example.", "a.example"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("BÜCHER.example", "xn--bcher-kva.example"),
        ("b%C3%BCcher.example", "xn--bcher-kva.example"),
        ("%61.example", "a.example"),
        ("faß.example", "xn--fa-hia.example"),
        ("☃.example", "xn--n3h.example"),
        ("a\u3002example", "a.example"),
        ("a_b.example", "a_b.example"),
        ("xn--a.example", "xn--a.example"),
        ("127.1", "127.0.0.1"),
        ("0x7f.1", "127.0.0.1"),
        ("2130706433", "127.0.0.1"),
        ("0177.0.0.01", "127.0.0.1"),
        ("\uff11\uff12\uff17.0.0.1", "127.0.0.1"),
        ("1.2.3.4.5", "1.2.3.4.5"),
        ("[0:0:0::1]", "[::1]"),
        ("[::FFFF:127.0.0.1]", "[::ffff:7f00:1]"),
        ("", None),
        ("...", None),
        ("a/b", None),
        ("ü" * 100_000, None),
        ("[::g]", None),
    ],
    ids=lambda value: ascii(value)[:30],
)
def test_a_host_has_one_spelling(host, expected):
    """That is what limits, circuits and redirects compare."""
    assert expected == canonicalize_host(host)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://a.example", "https://a.example/"),
        ("HTTP://A.example:80?b", "http://a.example/?b"),
        ("https://a.example:443/b", "https://a.example/b"),
        ("http://a.example:443/b", "http://a.example:443/b"),
        ("http://a.example:/b", "http://a.example/b"),
        ("http://@a.example/b", "http://a.example/b"),
        ("  http://a.example/b  ", "http://a.example/b"),
        ("http://[::1]:8080/b", "http://[::1]:8080/b"),
    ],
)
def test_a_url_is_made_whole(url, expected):
    """Path and port are those that a server would be asked with."""
    assert expected == str(parse_url(url))


def test_limits_and_redirects_see_one_host():
    """However a list spells it, the host's limit holds and an inside address of its own is no other host."""
    with RawServer(OK) as server:
        spelt = [f"http://{host}:{server.port}/a" for host in ("127.0.0.1", "0x7f.1", "127.1", "2130706433")]
        assert ["ok"] * 4 == [ask(url) for url in spelt]

    assert {f"Host: 127.0.0.1:{server.port}".encode()} == {head.split(b"\r\n")[1] for head in server.heads}
