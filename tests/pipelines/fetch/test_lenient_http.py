import asyncio
import gzip
import io
import ssl
import time
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from pipelines.fetch.addresses import AddressRefusedError, guard
from pipelines.fetch.dns import CachingResolver
from pipelines.fetch.http_client import HttpClient
from pipelines.fetch.lenient_http import LenientClient
from pipelines.fetch.urls import parse_url
from schemas.dataset import Fetch, HostLimit
from tests.pipelines.fetch.raw_server import RawServer, make_answer

FETCH = Fetch(timeout_s=5, retries=0, allow_private_hosts=True, max_bytes=1_000_000)
BODY = bytes(range(256)) * 8
LENGTH = f"Content-Length: {len(BODY)}"
OK = "HTTP/1.1 200 OK"
CHUNKED = b"%x;by=us\r\n%s\r\n0\r\nTrailer: 1\r\n\r\n" % (len(BODY), BODY)


def ask(url, fetch=FETCH, since=None):
    """Return the outcome of a GET, and the body."""

    async def get():
        client, body = HttpClient(fetch, None), io.BytesIO()
        try:
            return str((await client.get(url, body, since)).outcome), body.getvalue()
        finally:
            await client.close()

    return asyncio.run(get())


# What curl reads: the answer, and how many requests it takes.
READ = {
    "line-of-20-KiB": (make_answer(OK, f"Policy: {'x' * 20_000}", LENGTH, body=BODY), 1),
    "line-of-60-KiB": (make_answer(OK, f"Policy: {'x' * 60_000}", LENGTH, body=BODY), 1),
    "60-lines": (make_answer(OK, *["A: b"] * 60, LENGTH, body=BODY), 1),
    "1000-lines": (make_answer(OK, *["A: b"] * 1000, LENGTH, body=BODY), 2),
    "blank-before-the-colon": (make_answer(OK, "Server : a", LENGTH, body=BODY), 2),
    "tab-before-the-colon": (make_answer(OK, "Server\t: a", LENGTH, body=BODY), 2),
    "blank-in-the-length": (make_answer(OK, f"Content-Length : {len(BODY)}", body=BODY + b"more"), 2),
    "no-colon": (make_answer(OK, "X-Powered-By", LENGTH, body=BODY), 2),
    "a-warning-in-the-head": (make_answer(OK, "<b>Warning</b> in line 3", LENGTH, body=BODY), 2),
    "no-name": (make_answer(OK, ": a", LENGTH, body=BODY), 2),
    "length-twice": (make_answer(OK, LENGTH, LENGTH, body=BODY), 2),
    "length-twice-in-a-line": (make_answer(OK, f"{LENGTH}, {len(BODY)}", body=BODY), 2),
    "chunked-beside-a-length": (make_answer(OK, LENGTH, "Transfer-Encoding: chunked", body=CHUNKED), 2),
    "length-before-chunked": (
        make_answer(OK, "Transfer-Encoding: chunked", "Content-Length: 3", body=CHUNKED),
        2,
    ),
    "no-length": (make_answer(OK, "Server : a", body=BODY), 2),
    "unknown-names": (make_answer(OK, "A (b): c", LENGTH, body=BODY), 2),
    "HTTP-1.0": (make_answer("HTTP/1.0 200 Fine", "Server : a", body=BODY), 2),
    "no-phrase": (make_answer("HTTP/1.1 200", "Server : a", LENGTH, body=BODY), 2),
    "continued": (make_answer(OK, "Server : a", "Policy: b;", " c", LENGTH, body=BODY), 2),
    "LF-alone": (b"HTTP/1.1 200 OK\nServer : a\nContent-Length: %d\n\n%s" % (len(BODY), BODY), 2),
    "interim": (make_answer("HTTP/1.1 103 Hints", "A : b", "", OK, LENGTH, body=BODY), 2),
    "packed": (make_answer(OK, "Server : a", "Content-Encoding: gzip", body=gzip.compress(BODY)), 2),
    "more-than-announced": (make_answer(OK, "Connection: close", LENGTH, body=BODY + b"more"), 2),
}


@pytest.mark.parametrize(("answer", "requests"), READ.values(), ids=[*READ])
def test_what_curl_reads_is_read(answer, requests):
    """At most one more request, and the same bytes."""
    with RawServer(answer) as server:
        assert ("ok", BODY) == ask(server.url())

    assert requests == len(server.heads)
    assert all(
        b"Accept-Encoding: identity" in head and b"User-Agent: Echolens/" in head for head in server.heads
    )


REFUSED = {
    "unequal-lengths": (make_answer(OK, LENGTH, "Content-Length: 3", body=BODY), "invalid/not_http"),
    "unequal-in-a-line": (make_answer(OK, f"{LENGTH}, 3", body=BODY), "invalid/not_http"),
    "negative-length": (make_answer(OK, "Content-Length: -3", body=BODY), "transient/not_http"),
    "signed-length": (make_answer(OK, "Content-Length: +3", body=BODY), "transient/not_http"),
    "length-of-400-digits": (
        make_answer(OK, f"Content-Length: {'9' * 400}", body=BODY),
        "transient/not_http",
    ),
    "packed-and-chunked": (
        make_answer(OK, LENGTH, "Transfer-Encoding: gzip, chunked", body=CHUNKED),
        "transient/not_http",
    ),
    "line-of-70-KiB": (make_answer(OK, f"Policy: {'x' * 70_000}", LENGTH, body=BODY), "transient/not_http"),
    "head-of-400-KiB": (
        make_answer(OK, *["Server : a"] * 40_000, LENGTH, body=BODY),
        "transient/not_http",
    ),
    "NUL": (make_answer(OK, "Server : a", b"A: b\0c", LENGTH, body=BODY), "transient/not_http"),
    "mail-server": (b"220 mail.example ESMTP\r\n\r\n", "transient/not_http"),
    "HTTP-2": (make_answer("HTTP/2 200", LENGTH, body=BODY), "transient/not_http"),
    "HTTP-0.9": (BODY, "transient/not_http"),
    "no-status": (make_answer("HTTP/1.1 OK", LENGTH, body=BODY), "transient/not_http"),
    "chunks-that-are-none": (
        make_answer(OK, LENGTH, "Transfer-Encoding: chunked", body=b"zz\r\n" + BODY),
        "transient/not_http",
    ),
    "chunk-without-an-end": (
        make_answer(OK, LENGTH, "Transfer-Encoding: chunked", body=b"3\r\nabcdefg\r\n0\r\n\r\n"),
        "transient/not_http",
    ),
    "extensions-without-end": (
        make_answer(OK, LENGTH, "Transfer-Encoding: chunked", body=(b"1;" + b"x" * 9000 + b"\r\na\r\n") * 20),
        "transient/not_http",
    ),
    "too-many-bytes": (make_answer(OK, "Server : a", body=bytes(1_000_001)), "invalid/too_many_bytes"),
    "too-many-announced": (
        make_answer(OK, "Server : a", "Content-Length: 1000001", body=BODY),
        "invalid/too_many_bytes",
    ),
    "bomb": (
        make_answer(OK, "Server : a", "Content-Encoding: gzip", body=gzip.compress(bytes(50_000_000))),
        "invalid/too_many_bytes",
    ),
    "cut-short": (
        make_answer(OK, "Server : a", "Content-Length: 99999", body=BODY),
        "transient/connection_reset",
    ),
    "cut-chunk": (
        make_answer(OK, LENGTH, "Transfer-Encoding: chunked", body=b"ff\r\nabc"),
        "transient/connection_reset",
    ),
    "cut-head": (b"HTTP/1.1 200 OK\r\nServer : a\r\n", "transient/connection_reset"),
    "noai": (make_answer(OK, "Server : a", "X-Robots-Tag: noai", body=BODY), "blocked/robots_noai"),
    "not-found": (make_answer("HTTP/1.1 404 No", "Server : a", body=BODY), "dead/http_404"),
    "nothing": (make_answer("HTTP/1.1 204 No", "Server : a"), "invalid/empty"),
}


@pytest.mark.parametrize(("answer", "expected"), REFUSED.values(), ids=[*REFUSED])
def test_what_is_refused_all_the_same(answer, expected):
    """The caps, the politeness and the doubts are those of every other request."""
    with RawServer(answer) as server:
        assert expected == ask(server.url())[0]

    assert len(server.heads) <= 2


def test_a_redirect_is_followed():
    """With a head that only curl reads, to where the strict parser is asked first again."""
    moved = make_answer("HTTP/1.1 302 Found", "Server : a", "Location: /b.jpg", "Content-Length: 0")
    fine = make_answer(OK, "Connection: close", LENGTH, body=BODY)
    with RawServer(lambda head: moved if b"/a.jpg" in head.split(b"\r\n")[0] else fine) as server:
        assert ("ok", BODY) == ask(server.url())

    assert ["GET /a.jpg HTTP/1.1"] * 2 + ["GET /b.jpg HTTP/1.1"] == server.lines


def test_whether_a_link_still_exists():
    """The date is sent again, and no body is read."""
    with RawServer(make_answer("HTTP/1.1 304 Same", "Server : a")) as server:
        assert ("ok", b"") == ask(server.url(), since=datetime(2026, 1, 1, tzinfo=UTC))

    assert all(b"If-Modified-Since: Thu, 01 Jan 2026" in head for head in server.heads)


def test_the_second_request_needs_a_permit_of_its_own():
    """A host's limit is for requests, whoever reads their responses."""
    limited = FETCH.model_copy(update={"limits": {"127.0.0.1": HostLimit(delay_s=0.4)}})
    with RawServer(READ["no-colon"][0]) as server:
        begun = time.monotonic()
        assert "ok" == ask(server.url(), limited)[0]

    assert time.monotonic() - begun >= 0.4


def test_the_deadline_is_that_of_the_url():
    """A server that answers the second request with silence gets no more time."""
    hurried = FETCH.model_copy(update={"timeout_s": 0.5})
    answers = iter([READ["no-colon"][0]])

    def answer(head):
        if (found := next(answers, None)) is None:
            time.sleep(1.2)
        return found or b""

    with RawServer(answer) as server:
        begun = time.monotonic()
        assert "transient/timeout" == ask(server.url(), hurried)[0]
        assert time.monotonic() - begun < 1.1


def ask_leniently(url, make_socket):
    """Return the status of a lenient request alone."""

    async def get():
        client = LenientClient(CachingResolver(), {}, 5)
        async with client.get(parse_url(url), {}, make_socket, None) as response:
            return response.status

    return asyncio.run(get())


def test_addresses_are_guarded():
    """Its sockets are those of every other request."""
    with RawServer(READ["no-colon"][0]) as server:
        assert 200 == ask_leniently(server.url(), guard(inside=True, public=False))
        with pytest.raises(AddressRefusedError):
            ask_leniently(server.url(), guard(inside=False, public=True))

    assert 1 == len(server.heads)


def make_context(folder, address):
    """Return a TLS context of a server for an address, which signs for itself, and its certificate's path."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    day, now = timedelta(days=1), datetime.now(UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - day)
        .not_valid_after(now + day)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(address))]), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / f"{address}.pem"
    path.write_bytes(signed.public_bytes(Encoding.PEM))
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "both.pem").write_bytes(path.read_bytes() + private)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "both.pem")
    return context, path


@pytest.mark.parametrize(
    ("address", "trusted", "expected"),
    [
        pytest.param("127.0.0.1", True, 200, id="as-it-should-be"),
        pytest.param("127.0.0.1", False, None, id="signed-by-nobody"),
        pytest.param("127.0.0.2", True, None, id="of-another-host"),
    ],
)
def test_tls_is_verified(tmp_path, monkeypatch, address, trusted, expected):
    """Lenient about headers, and about nothing else."""
    context, certificate = make_context(tmp_path, address)
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with RawServer(READ["no-colon"][0], context) as server:
        if expected:
            assert expected == ask_leniently(server.url(), guard(inside=True, public=False))
        else:
            with pytest.raises(ssl.SSLError):
                ask_leniently(server.url(), guard(inside=True, public=False))


def test_a_header_on_100_000_lines(monkeypatch):
    """Its parts are joined once: 290,000 of them took 4 s, in which nothing else was fetched."""
    folded = make_answer(OK, "Server : a", "X: a", *[" b"] * 100_000, LENGTH, body=BODY)
    began = time.process_time()
    with RawServer(folded) as server:
        assert ("ok", BODY) == ask(server.url())
    assert time.process_time() - began < 3
