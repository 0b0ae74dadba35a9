"""Settings that make no sense are refused before anything starts."""

import pytest

from pipelines.errors import ConfigError
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
    ],
)
def test_a_number_out_of_range_is_refused(option, settings):
    """The sentence names the option."""
    with pytest.raises(ConfigError, match=option):
        ServiceSettings(**settings)


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
