import asyncio
import base64
import io
import ssl
import traceback
from datetime import UTC, datetime, timedelta

import aiohttp.connector
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from pipelines.errors import ConfigError, StopJob
from pipelines.fetch.http_client import HttpClient
from pipelines.fetch.stages import FetchImages
from schemas.dataset import Fetch
from tests.pipelines.fetch.forward_proxy import ForwardProxy, list_own_names
from tests.pipelines.fetch.pictures import make_pictures
from tests.pipelines.fetch.raw_server import RawServer, make_answer

pytestmark = pytest.mark.usefixtures("environment")
CONTACT = "tests@localhost"
FETCH = Fetch(timeout_s=5, retries=0)
BODY = make_pictures()["plain.jpg"]
FINE_ANSWER = make_answer("HTTP/1.1 200 OK", f"Content-Length: {len(BODY)}", "Connection: close", body=BODY)
ODD_ANSWER = make_answer("HTTP/1.1 200 OK", "Server : a", f"Content-Length: {len(BODY)}", body=BODY)
# A name that only the proxy resolves.
HOST = "pictures.example"
REFUSAL = "HTTP/1.1 {} No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


@pytest.fixture(scope="module")
def secure(tmp_path_factory):
    """The TLS context of a server at HOST, whose certificate this process trusts."""
    key, day, now = ec.generate_private_key(ec.SECP256R1()), timedelta(days=1), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "here")])
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - day)
        .not_valid_after(now + day)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(HOST)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = signed.public_bytes(Encoding.PEM)
    path = tmp_path_factory.mktemp("proxied") / "both.pem"
    path.write_bytes(pem + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    aiohttp.connector._SSL_CONTEXT_VERIFIED.load_verify_locations(cadata=pem.decode())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context, path


def ask(url, fetch=FETCH, contact=CONTACT):
    """Return the outcome of a GET, and the body."""

    async def get():
        client, body = HttpClient(fetch, contact), io.BytesIO()
        try:
            return str((await client.get(url, body)).outcome), body.getvalue()
        finally:
            await client.close()

    return asyncio.run(get())


def test_http_goes_through_the_proxy(environment):
    """It gets the whole URL as it is written, and its credentials; the host resolves nowhere here."""
    with RawServer(FINE_ANSWER) as server, ForwardProxy(wants=True) as proxy:
        environment(proxy.url)
        url = f"http://{HOST}:{server.port}/a%28b%29.jpg?sig=a%2Fb%3D&c=d[1]"
        assert ("ok", BODY) == ask(url)

    assert [f"GET {url} HTTP/1.1"] == proxy.lines
    assert f"\r\nHost: {HOST}:{server.port}\r\n".encode() in proxy.heads[0]
    assert 1 == proxy.heads[0].count(b"Proxy-Authorization: Basic ")


@pytest.mark.parametrize("answer", [FINE_ANSWER, ODD_ANSWER], ids=["strict", "lenient"])
def test_https_goes_through_a_tunnel(environment, monkeypatch, secure, answer):
    """TLS is with the host and is verified; the proxy's credentials stay outside."""
    context, certificate = secure
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with RawServer(answer, context) as server, ForwardProxy(wants=True) as proxy:
        environment(proxy.url)
        assert ("ok", BODY) == ask(f"https://{HOST}:{server.port}/a%28.jpg")
        assert "transient/tls" == ask(f"https://another.example:{server.port}/a.jpg")[0]

    assert {f"CONNECT {HOST}:{server.port} HTTP/1.1"} == {*proxy.lines[:-1]}
    assert all(b"Proxy-Authorization: Basic " in head for head in proxy.heads)
    assert {"GET /a%28.jpg HTTP/1.1"} == {*server.lines}
    assert not any(b"roxy" in head for head in server.heads)


def test_odd_headers_through_the_proxy(environment):
    """The second, lenient request takes the same way."""
    with RawServer(ODD_ANSWER) as server, ForwardProxy(wants=True) as proxy:
        environment(proxy.url)
        assert ("ok", BODY) == ask(f"http://{HOST}:{server.port}/a.jpg")

    assert [f"GET http://{HOST}:{server.port}/a.jpg HTTP/1.1"] * 2 == proxy.lines


INSIDE = [
    "http://169.254.169.254/latest/meta-data/",
    "https://169.254.169.254/latest/meta-data/",
    "http://2852039166/",
    "http://0xa9.254.43518/",
    "http://10.0.0.1/a.jpg",
    "http://192.168.1/a.jpg",
    "http://[fd00::1]/a.jpg",
    "http://[::ffff:10.0.0.1]/a.jpg",
    "http://[64:ff9b::a00:1]/a.jpg",
    "http://100.100.100.200/a.jpg",
    "https://localhost/a.jpg",
    "http://127.0.0.1/a.jpg",
    *(f"http://{name}/a.jpg" for name in list_own_names()),
]


@pytest.mark.parametrize("url", INSIDE)
def test_inside_addresses_are_refused_before_the_proxy(environment, url):
    """Written as an address, or a name that is one here: the proxy is not even asked."""
    with ForwardProxy() as proxy:
        environment(proxy.url)
        assert "blocked/private_address" == ask(url)[0]

    assert [] == proxy.heads


def test_a_redirect_through_the_proxy_is_guarded(environment):
    """Also where the list may name inside hosts."""
    allowed = FETCH.model_copy(update={"allow_private_hosts": True})
    moved = make_answer("HTTP/1.1 302 Found", "Location: http://10.0.0.1/", "Content-Length: 0")
    with RawServer(moved) as server, ForwardProxy() as proxy:
        environment(proxy.url)
        assert "blocked/private_address" == ask(f"http://{HOST}:{server.port}/", allowed)[0]

    assert 1 == len(proxy.heads)


def test_nobody_is_asked_without_a_contact(environment):
    """A name that is not known here may be public."""
    with ForwardProxy() as proxy:
        environment(proxy.url)
        with pytest.raises(ConfigError, match="no contact"):
            ask(f"http://{HOST}/", contact=None)

    assert [] == proxy.heads


def test_names_that_never_exist(environment):
    """Not even the proxy is asked for them."""
    with ForwardProxy() as proxy:
        environment(proxy.url)
        assert "dead/no_such_host" == ask("http://photos.invalid/a.jpg")[0]

    assert [] == proxy.heads


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_wants_credentials_stops_the_job(environment, scheme):
    """In one sentence that says where to give them, and shows none."""
    with ForwardProxy(wants=True) as proxy:
        environment(proxy.url.replace("me:", "you:"))
        with pytest.raises(
            StopJob, match=r"^failed/proxy: the proxy 127.0.0.1:\d+ refuses .*\(407\)"
        ) as raised:
            ask(f"{scheme}://{HOST}/a.jpg")
        environment(f"http://127.0.0.1:{proxy.port}")
        with pytest.raises(StopJob, match=r"wants credentials \(407\); set HTTP_PROXY and HTTPS_PROXY"):
            ask(f"{scheme}://{HOST}/a.jpg")
    said = "".join(traceback.format_exception(raised.value)) + repr(raised.value)

    assert not any(
        secret in said for secret in ("you:", "word", "you%", base64.b64encode(b"you:")[:5].decode())
    )


def test_a_host_cannot_stop_the_job(environment):
    """It says 407 as the proxy would; the proxy itself opens a tunnel, or says another thing."""
    refusal = REFUSAL.format(407).encode()
    for tunnels in (None, REFUSAL.format(403).encode()):
        with RawServer(refusal) as server, ForwardProxy(refuses_tunnels=tunnels) as proxy:
            environment(proxy.url)
            assert "failed/proxy" == ask(f"http://{HOST}:{server.port}/a.jpg")[0]


@pytest.mark.parametrize(
    ("scheme", "answer", "expected"),
    [
        ("http", REFUSAL.format(502), "failed/proxy"),
        ("http", REFUSAL.format(504), "failed/proxy"),
        ("http", REFUSAL.format(503), "transient/http_5xx"),
        ("http", REFUSAL.format(403), "blocked/http_403"),
        ("http", "SSH-2.0\r\n\r\n", "transient/not_http"),
        ("https", REFUSAL.format(502), "failed/proxy"),
        ("https", REFUSAL.format(504), "failed/proxy"),
        ("https", REFUSAL.format(503), "failed/proxy"),
        ("https", REFUSAL.format(403), "failed/proxy"),
        ("https", REFUSAL.format(302), "failed/proxy"),
        ("https", "SSH-2.0\r\n\r\n", "failed/proxy"),
    ],
)
def test_a_proxy_that_does_not_get_through(environment, scheme, answer, expected):
    """A tunnel that is not opened is the proxy's; of plain http only what proxies alone say."""
    with ForwardProxy(refuses=answer.encode()) as proxy:
        environment(proxy.url)
        assert expected == ask(f"{scheme}://{HOST}/a.jpg")[0]


@pytest.mark.parametrize("proxy", ["http://127.0.0.1:1", "http://nobody.invalid:3128"])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_is_not_there(environment, proxy, scheme):
    """It is no fault of the host, whose circuit stays closed."""
    environment(proxy)

    assert "failed/proxy" == ask(f"{scheme}://{HOST}/a.jpg")[0]


# Longer than a name may be: it resolves nowhere, and no name server is asked.
LONG = ".".join(["a" * 60] * 5)


def fetch_all(asking, urls):
    work = FetchImages(FETCH, CONTACT).open()
    try:
        return work(asking(*urls))
    finally:
        work.close()


def test_names_that_only_the_proxy_knows_stop_nothing(environment, asking):
    """However many there are, the name service of this machine is not in question."""
    with RawServer(FINE_ANSWER) as server, ForwardProxy() as proxy:
        environment(proxy.url)
        urls = [f"http://host-{number}.{LONG}:{server.port}/a.jpg" for number in range(30)]
        batch = fetch_all(asking, urls)

    assert ["ok"] * 30 == batch["outcome"]


def test_a_proxy_that_lets_nothing_through_stops_the_job(environment, asking):
    """Of many hosts; of a few it is an outcome of their rows, which may be tried again."""
    environment("http://me:word@127.0.0.1:1")
    urls = [f"http://host-{number}.{LONG}/a.jpg" for number in range(20)]
    batch = fetch_all(asking, urls[:19])
    with pytest.raises(StopJob, match=r"^failed/proxy: the proxy reached none of the 20 hosts .*HTTP_PROXY"):
        fetch_all(asking, urls)

    assert {("failed", "proxy", "Tunnel connection failed")} == {
        *zip(batch["outcome"], batch["reason"], batch["error_message"], strict=True)
    }


def test_no_file_of_passwords_is_read(environment, monkeypatch, tmp_path):
    """With a proxy or without: ~/.netrc is for other programs."""
    netrc = tmp_path / "netrc"
    netrc.write_text("default login me password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    with RawServer(FINE_ANSWER) as server, ForwardProxy() as proxy:
        allowed = FETCH.model_copy(update={"allow_private_hosts": True})
        environment(proxy.url)
        assert "ok" == ask(f"http://{HOST}:{server.port}/a.jpg")[0]
        assert "ok" == ask(server.url(), allowed)[0]

    assert (2, 1) == (len(server.heads), len(proxy.heads))
    assert not any(b"uthorization" in head for head in server.heads)
