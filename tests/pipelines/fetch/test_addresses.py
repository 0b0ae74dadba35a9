import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address

import pytest

from pipelines.fetch import addresses
from pipelines.fetch.addresses import (
    AddressRefusedError,
    NoContactError,
    guard,
    is_inside,
    is_public,
    unwrap_address,
)
from pipelines.fetch.networks import CLOSED
from pipelines.fetch.stages import FetchImages
from schemas.dataset import Fetch
from tests.origins import ORIGINS

OPEN = Fetch(timeout_s=2, retries=0, allow_private_hosts=True)
STRICT = OPEN.model_copy(update={"allow_private_hosts": False})
# Stands for a public address: it is the one of loopback that the tests let pass.
PUBLIC, PRIVATE = "127.0.0.2", "127.0.0.1"


@pytest.mark.parametrize(
    ("address", "public", "inside"),
    [
        ("93.184.216.34", True, False),
        ("2606:2800:220:1:248:1893:25c8:1946", True, False),
        ("::ffff:93.184.216.34", True, False),
        ("64:ff9b::5db8:d822", True, False),
        ("127.0.0.1", False, True),
        ("127.255.255.254", False, True),
        ("::1", False, True),
        ("::ffff:127.0.0.1", False, True),
        ("64:ff9b::7f00:1", False, True),
        ("10.255.0.1", False, True),
        ("172.16.0.1", False, True),
        ("192.168.255.255", False, True),
        ("100.64.0.1", False, True),
        ("fd12::1", False, True),
        ("100.100.100.200", False, False),
        ("fd00:ec2::254", False, False),
        ("169.254.169.254", False, False),
        ("::ffff:169.254.169.254", False, False),
        ("64:ff9b::a9fe:a9fe", False, False),
        ("2002:a9fe:a9fe::1", False, False),
        ("fe80::1", False, False),
        ("fe80::1%eth0", False, False),
        ("0.0.0.0", False, False),
        ("::", False, False),
        ("224.0.0.1", False, False),
        ("ff02::1", False, False),
        ("240.0.0.1", False, False),
        ("255.255.255.255", False, False),
        ("192.0.2.1", False, False),
        ("198.18.0.1", False, False),
        ("2001:db8::1", False, False),
        # Packets reach the embedded address; of two, the one that is not public counts.
        ("2002:808:808::1", True, False),
        ("2002:7f00:1::1", False, True),
        ("2002:808:808::5efe:169.254.169.254", False, False),
        ("2606:4700::5efe:8.8.8.8", True, False),
        ("2606:4700::5efe:10.0.0.1", False, True),
        ("2606:4700::200:5efe:127.0.0.1", False, True),
        ("fd12::5efe:168.63.129.16", False, False),
        ("64:ff9b::168.63.129.16", False, False),
        ("::ffff:192.0.0.192", False, False),
        # Older forms, which no host answers on.
        ("::8.8.8.8", False, False),
        ("::ffff:0:8.8.8.8", False, False),
        ("2001:0:4136:e378:8000:63bf:f7f7:f7f7", False, False),
        # Not assigned to anybody.
        ("4000::1", False, False),
        ("1::1", False, False),
        ("fbff::1", False, False),
        # Neighbours of closed networks.
        ("168.63.129.17", True, False),
        ("192.0.1.1", True, False),
        ("192.88.98.1", True, False),
        ("100.100.100.201", False, True),
        ("fd00:ec3::1", False, True),
        ("2001:200::1", True, False),
        ("2620:4f:8000::1", True, False),
    ],
)
def test_every_address_is_public_inside_or_closed(address, public, inside):
    """Public ones are open, inside ones by choice, all others never; disguises of IPv4 do not help."""
    found = unwrap_address(address)

    assert (public, inside) == (is_public(found), is_inside(found))


@pytest.mark.parametrize("closed", CLOSED, ids=lambda closed: str(closed.network))
def test_a_closed_network_is_closed_from_end_to_end(closed):
    """Whatever this version of Python says of it and whatever a file allows; the error says why."""
    make = guard(inside=True, public=True)
    for address in (closed.network[0], closed.network[-1]):
        info = (socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (str(address), 80, 0, 0))

        with pytest.raises(AddressRefusedError) as refused:
            make(info)
        # A network within this one may give its own reason.
        assert str(refused.value).endswith(tuple(each.reason for each in CLOSED))


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("169.254.169.254", "metadata of AWS"),
        ("64:ff9b::a9fe:a9fe", "metadata of AWS"),
        ("192.0.0.192", "Oracle"),
        ("168.63.129.16", "Azure"),
        ("100.100.100.200", "Alibaba"),
        ("fd00:ec2::254", "AWS"),
        ("fec0::1", "RFC 3879"),
        ("2001::1", "Teredo"),
        ("10.0.0.1", "not public"),
        ("4000::1", "not public"),
    ],
)
def test_a_refusal_names_its_reason(address, reason):
    """Of the clouds the service, of registries the document."""
    info = (socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, 80, 0, 0))

    with pytest.raises(AddressRefusedError, match=reason):
        guard(inside=False, public=True)(info)


@pytest.mark.parametrize(
    ("address", "inside", "public", "error"),
    [
        ("93.184.216.34", False, True, None),
        ("93.184.216.34", True, False, NoContactError),
        ("127.0.0.1", True, False, None),
        ("127.0.0.1", False, True, AddressRefusedError),
        ("169.254.169.254", True, True, AddressRefusedError),
    ],
)
def test_guard_makes_no_socket_for_what_is_closed(address, inside, public, error):
    """The socket of an address that may not be connected to never exists."""
    info = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, 80))
    make = guard(inside=inside, public=public)

    if error:
        with pytest.raises(error):
            make(info)
    else:
        with make(info) as made:
            assert (made.family, made.type) == (socket.AF_INET, socket.SOCK_STREAM)


@pytest.fixture(scope="module")
def work():
    """The stage with private hosts allowed, and no contact."""
    work = FetchImages(OPEN, origins=ORIGINS).open()
    yield work
    work.close()


@pytest.fixture(scope="module")
def strict():
    """The stage as it is by default: no private hosts."""
    work = FetchImages(STRICT, "me@example.org", origins=ORIGINS).open()
    yield work
    work.close()


def outcomes(batch):
    became = zip(batch["outcome"], batch["reason"], strict=True)
    return [f"{outcome}/{reason}".rstrip("/") for outcome, reason in became]


@pytest.mark.parametrize(
    "url",
    [
        "",
        "plain.jpg",
        "ftp://example.org/a.jpg",
        "file:///etc/passwd",
        "data:image/png;base64,AAAA",
        "http:///a.jpg",
        "http://example.org:99999/a.jpg",
        "http://me:secret@example.org/a.jpg",
        "http://me@example.org/a.jpg",
        f"http://{'a' * 70}.example.org/a.jpg",
    ],
)
def test_what_is_no_web_address_is_not_asked(work, asking, url):
    """A list from the web can name neither files of this machine nor other protocols nor credentials."""
    assert outcomes(work(asking(url))) == ["invalid/bad_url"]


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "0x7f000001",
        "127.1",
        "2130706433",
        "0177.0.0.1",
        "127.0.0.1.",
        "%31%32%37.0.0.1",
        "\uff11\uff12\uff17.0.0.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "[fe80::1]",
        "[fd00:ec2::254]",
        "0.0.0.0",
        "10.0.0.1",
        "172.31.255.255",
        "192.168.0.1",
        "100.64.0.1",
        "169.254.169.254",
        "224.0.0.1",
        "255.255.255.255",
        "192.0.2.1",
    ],
)
def test_private_addresses_are_not_asked(server, asking, strict, host):
    """However an address is spelt, no socket is made for one that is not public."""
    batch = strict(asking(f"http://{host}:{server.port}/put/plain.jpg"))

    assert outcomes(batch) == ["blocked/private_address"]
    assert server.asked.total() == 0


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254",
        "2852039166",
        "0xa9.254.43518",
        "0.0.0.0",
        "[fe80::1]",
        "224.0.0.1",
        "[fd00:ec2::254]",
    ],
)
def test_private_hosts_allowed_are_not_all_hosts(work, server, asking, host):
    """Link-local, metadata, multicast and unspecified addresses stay closed whatever the file says."""
    assert outcomes(work(asking(f"http://{host}:{server.port}/put/plain.jpg"))) == ["blocked/private_address"]


def test_a_redirect_reaches_no_connection_of_others(work, server, asking):
    """An inside host that a list names is open to that list's URLs, not to redirects from elsewhere."""
    named = server.url("put/plain.jpg", host="localhost")
    redirected = server.url(f"to?url={named}")

    assert outcomes(work(asking(named))) == ["ok"]
    assert outcomes(work(asking(redirected))) == ["blocked/private_address"]


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
    work = FetchImages(Fetch(timeout_s=5, retries=0), "me@example.org", origins=ORIGINS).open()
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
