"""Settings that make no sense are refused before anything starts."""

import pytest

from pipelines.errors import ConfigError
from pipelines.serve.budgets import Cap
from pipelines.serve.settings import ServiceLimits, ServiceSettings


def test_a_token_that_can_be_guessed_is_refused():
    """And the sentence says how to make one."""
    with pytest.raises(ConfigError, match="openssl"):
        ServiceSettings.with_token("secret")


@pytest.mark.parametrize(
    ("option", "settings"),
    [
        ("--port", {"port": 0}),
        ("--port", {"port": 65_536}),
        ("--replicas", {"replicas": 0}),
        ("--rate", {"limits": ServiceLimits(requests_a_s=-1)}),
        ("--poll-s", {"poll_s": 0}),
        ("--connections", {"limits": ServiceLimits(connections=Cap(0, 1))}),
        ("--streams", {"limits": ServiceLimits(streams=Cap(0, 1))}),
        ("--proxy-headers", {"proxies": ("everybody",)}),
        ("--proxy-headers", {"proxies": ("10.0.0.1/8",)}),
    ],
)
def test_a_number_out_of_range_is_refused(option, settings):
    """The sentence names the option."""
    with pytest.raises(ConfigError, match=option):
        ServiceSettings(**settings)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "search.example"])
def test_beyond_loopback_a_token_or_a_name_is_demanded(host):
    """The sentence names both, and says what a name does not do."""
    with pytest.raises(ConfigError, match=r"--token-env, or --allow-host .* answers whoever can connect"):
        ServiceSettings.with_token(None, host=host)
    with_token = ServiceSettings.with_token("a token that nobody guesses", host=host)
    with_name = ServiceSettings.with_token(None, host=host, allow_hosts=("search.example",))

    assert (False, True) == (with_token.is_open, with_name.is_open)
    assert not ServiceSettings.with_token(None, host="127.0.0.1").is_open


@pytest.mark.parametrize(
    ("host", "is_loopback", "address"),
    [
        ("127.0.0.1", True, "http://127.0.0.1:8000"),
        ("localhost", True, "http://localhost:8000"),
        ("::1", True, "http://[::1]:8000"),
        ("0.0.0.0", False, "http://0.0.0.0:8000"),
        ("search.example", False, "http://search.example:8000"),
    ],
)
def test_who_can_connect_depends_on_the_host(host, is_loopback, address):
    """An IPv6 address has brackets in a URL."""
    settings = ServiceSettings(host=host)

    assert (is_loopback, address) == (settings.is_loopback, settings.address)
