import pytest

from pipelines.doctor.machine import check_proxy
from pipelines.errors import ConfigError, StopJob
from pipelines.fetch.http_proxy import check_proxied, read_proxies
from schemas.outcome import OK, make_outcome
from tests.pipelines.fetch.forward_proxy import WORD, ForwardProxy


def test_one_host_that_is_reached_is_enough():
    """Then the proxy works, and the others are their own affair."""
    down = make_outcome("failed", "proxy")
    check_proxied([(f"host-{number}", down) for number in range(99)] + [("another", OK)])
    check_proxied([("one", down)] * 99)
    with pytest.raises(StopJob):
        check_proxied([(f"host-{number}", down) for number in range(20)])


@pytest.mark.parametrize(
    ("no_proxy", "host", "direct"),
    [
        ("", "a.example", False),
        ("*", "a.example", True),
        ("a.example", "a.example", True),
        ("example", "a.example", True),
        (".example", "a.example", True),
        ("*.example", "a.example", True),
        ("ample", "a.example", False),
        ("b.example, A.Example", "a.example", True),
        ("b.example a.example", "a.example", True),
        ("a.example:8080", "a.example", True),
        ("a.example:80", "a.example", False),
        ("bücher.example", "xn--bcher-kva.example", True),
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("10.1.2.3", "10.1.2.3", True),
        ("10.1.2.3:8080", "10.1.2.3", True),
        ("fd00::/8", "fd00::1", True),
        ("[fd00::1]", "fd00::1", True),
        ("[fd00::1]:8080", "fd00::1", True),
        ("[fd00::1]:80", "fd00::1", False),
        (",,:,/,[,*.", "a.example", False),
        ("", "localhost", True),
        ("", "127.0.0.53", True),
        ("", "::1", True),
    ],
)
def test_who_is_asked_directly(no_proxy, host, direct):
    """Names, domains, networks and ports, as curl and requests read them; this machine always."""
    proxies = read_proxies({"HTTP_PROXY": "http://p.example:1", "NO_PROXY": no_proxy})

    assert direct == (proxies.find_proxy("http", host, 8080) is None)
    assert proxies.find_proxy("https", host, 8080) is None


@pytest.mark.parametrize(
    ("variables", "http", "https"),
    [
        ({}, "None", "None"),
        ({"HTTP_PROXY": "http://p.example:3128"}, "p.example:3128", "None"),
        ({"https_proxy": "http://P.Example:3128/"}, "None", "p.example:3128"),
        ({"HTTP_PROXY": "p.example:3128"}, "p.example:3128", "None"),
        ({"HTTP_PROXY": "http://p.example"}, "p.example:80", "None"),
        ({"HTTP_PROXY": "http://a.example:1", "http_proxy": "http://b.example:2"}, "b.example:2", "None"),
        ({"HTTP_PROXY": "http://a.example:1", "http_proxy": ""}, "None", "None"),
        ({"HTTP_PROXY": "http://me:w@rd@p.example:1"}, "p.example:1", "None"),
        ({"HTTP_PROXY": "http://[::1]:1"}, "::1:1", "None"),
    ],
)
def test_the_environment_is_read_as_others_read_it(variables, http, https):
    """Lower case goes first, and an empty value switches a proxy off."""
    proxies = read_proxies(variables)

    assert (http, https) == (str(proxies.http), str(proxies.https))


@pytest.mark.parametrize(
    "value",
    ["socks5://me:word@p:1080", "https://me:word@p:1", "http://me:word@:1", "http://me:word@p:0", "word",
     "http://me:word@p:99999", "http://me:word@p q:1", "http://me:word@p:1?a", "//me:word@p:1"],
)  # fmt: skip
@pytest.mark.parametrize("name", ["HTTP_PROXY", "HTTPS_PROXY"])
def test_a_proxy_that_is_none(name, value):
    """The sentence names the variable and what it should be, never what it is."""
    with pytest.raises(ConfigError, match=rf"^{name} is no http proxy; write it as http://") as raised:
        read_proxies({name: value})

    assert "me:word" not in str(raised.value)


def test_what_doctor_says(environment):
    """Which proxies are used and whether they are there; no password."""
    assert ("ok", "none in the environment") == (check_proxy().state, check_proxy().found)
    with ForwardProxy(wants=True) as proxy:
        environment(proxy.url, NO_PROXY=".example")
        finding = check_proxy()
    said = f"http through 127.0.0.1:{proxy.port}, https through 127.0.0.1:{proxy.port}; not for .example, "

    assert ("ok", said) == (finding.state, finding.found[: len(said)])
    assert WORD not in repr(finding)

    environment("http://me:word@127.0.0.1:1")
    assert "missing" == check_proxy().state
    assert "127.0.0.1:1 cannot be reached" in check_proxy().found
    environment("socks5://me:word@127.0.0.1:1")
    assert "missing" == check_proxy().state
    assert "me:word" not in repr(check_proxy())
