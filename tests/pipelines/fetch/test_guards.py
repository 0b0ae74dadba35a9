import pytest

from pipelines.errors import ConfigError
from pipelines.fetch.stages import FetchImages
from schemas.dataset import Fetch

OPEN = Fetch(timeout_s=2, retries=0, allow_private_hosts=True)
STRICT = OPEN.model_copy(update={"allow_private_hosts": False})


@pytest.fixture(scope="module")
def work():
    """The stage with private hosts allowed, and no contact."""
    work = FetchImages(OPEN).open()
    yield work
    work.close()


@pytest.fixture(scope="module")
def strict():
    """The stage as it is by default: no private hosts."""
    work = FetchImages(STRICT, "me@example.org").open()
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
        "http://127.1/a.jpg",
        "http://2130706433/a.jpg",
        "http://0177.0.0.1/a.jpg",
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


@pytest.mark.parametrize("host", ["169.254.169.254", "0.0.0.0", "[fe80::1]", "224.0.0.1", "[fd00:ec2::254]"])
def test_private_hosts_allowed_are_not_all_hosts(work, server, asking, host):
    """Link-local, metadata, multicast and unspecified addresses stay closed whatever the file says."""
    assert outcomes(work(asking(f"http://{host}:{server.port}/put/plain.jpg"))) == ["blocked/private_address"]


def test_public_hosts_want_a_contact(work, strict, asking):
    """Nobody is asked anonymously, whether or not private hosts are allowed."""
    public = asking("http://192.88.99.1/a.jpg")
    anonymous = FetchImages(STRICT).open()

    for nameless in (work, anonymous):
        with pytest.raises(ConfigError, match="has no contact"):
            nameless(public)
    anonymous.close()


def test_we_say_who_we_are(server, asking):
    """The User-Agent names program, contact and library, as Wikimedia's policy asks."""
    work = FetchImages(OPEN, "me@example.org").open()
    work(asking(server.url("put/plain.jpg")))
    work.close()

    name, contact, library = server.headers[0]["User-Agent"].split(" ")
    assert (name.split("/")[0], contact, library.split("/")[0]) == ("Echolens", "(me@example.org)", "aiohttp")


@pytest.mark.parametrize(
    ("tag", "expected"),
    [
        ("noai", "blocked/robots_noai"),
        ("NoImageAI", "blocked/robots_noai"),
        ("nofollow, noindex", "blocked/robots_noai"),
        ("noimageindex, unavailable_after: 25 Jun 2030 15:00:00 GMT", "blocked/robots_noai"),
        ("unavailable_after: 25 Jun 2030 15:00:00 GMT", "ok"),
        ("echolens: noai", "blocked/robots_noai"),
        ("otherbot: noai, noindex", "ok"),
        ("nofollow", "ok"),
    ],
)
def test_robots_tag(work, server, asking, tag, expected):
    """X-Robots-Tag is respected where it speaks to all or to us."""
    url = server.put("tagged.jpg", server.files["plain.jpg"][0], X_Robots_Tag=tag)

    assert [expected] == outcomes(work(asking(url)))


def test_a_redirect_reaches_no_connection_of_others(work, server, asking):
    """An inside host that a list names is open to that list's URLs, not to redirects from elsewhere."""
    named = server.url("put/plain.jpg", host="localhost")
    redirected = server.url(f"to?url={named}")

    assert outcomes(work(asking(named))) == ["ok"]
    assert outcomes(work(asking(redirected))) == ["blocked/private_address"]
