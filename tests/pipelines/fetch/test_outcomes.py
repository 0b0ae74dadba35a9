import asyncio
import errno
import socket
import ssl
from types import SimpleNamespace

import aiohttp
import pytest

from pipelines.errors import ConfigError, StopJob
from pipelines.fetch.addresses import AddressRefusedError, NoContactError
from pipelines.fetch.lenient_http import NotHttpError, TunnelRefusedError
from pipelines.fetch.outcomes import classify_error

KEY = SimpleNamespace(host="a.example", port=80, ssl=True, is_ssl=False)


def connect(error):
    return aiohttp.ClientConnectorError(KEY, error)


def name(number):
    return aiohttp.ClientConnectorDNSError(KEY, socket.gaierror(number, "words that may change"))


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (name(socket.EAI_NONAME), "dead/no_such_host"),
        (name(socket.EAI_NODATA), "dead/no_such_host"),
        (name(socket.EAI_AGAIN), "transient/dns"),
        (name(socket.EAI_FAIL), "transient/dns"),
        (connect(OSError(errno.ECONNREFUSED, "")), "transient/connection_refused"),
        (connect(OSError(errno.ECONNRESET, "")), "transient/connection_reset"),
        (connect(OSError(errno.ETIMEDOUT, "")), "transient/timeout"),
        (connect(OSError(errno.EHOSTUNREACH, "")), "transient/unreachable"),
        (connect(OSError(errno.ENETUNREACH, "")), "transient/unreachable"),
        (connect(OSError("Multiple exceptions")), "transient/unreachable"),
        (connect(AddressRefusedError("address not allowed")), "blocked/private_address"),
        (aiohttp.ClientConnectorSSLError(KEY, OSError()), "transient/tls"),
        (aiohttp.ClientConnectorCertificateError(KEY, ValueError()), "transient/tls"),
        (aiohttp.ServerDisconnectedError(), "transient/connection_reset"),
        (aiohttp.ClientOSError(errno.ECONNRESET, ""), "transient/connection_reset"),
        (aiohttp.ClientPayloadError(), "transient/connection_reset"),
        (aiohttp.ClientResponseError(SimpleNamespace(), ()), "transient/not_http"),
        (socket.gaierror(socket.EAI_NONAME, ""), "dead/no_such_host"),
        (socket.gaierror(socket.EAI_AGAIN, ""), "transient/dns"),
        (OSError(errno.ECONNREFUSED, ""), "transient/connection_refused"),
        (ConnectionResetError(errno.ECONNRESET, ""), "transient/connection_reset"),
        (AddressRefusedError("address not allowed"), "blocked/private_address"),
        (ssl.SSLCertVerificationError(), "transient/tls"),
        (TimeoutError(), "transient/timeout"),
        (aiohttp.ServerTimeoutError(), "transient/timeout"),
        (aiohttp.ConnectionTimeoutError(), "transient/timeout"),
        (asyncio.IncompleteReadError(b"", 1), "transient/connection_reset"),
        (TunnelRefusedError(), "failed/proxy"),
        (NotHttpError(), "transient/not_http"),
        (aiohttp.InvalidURL("http://"), "invalid/bad_url"),
        (UnicodeError("label too long"), "invalid/bad_url"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_the_type_of_an_exception_decides(error, expected):
    """Never its text, which changes from release to release."""
    assert str(classify_error(error)) == expected


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (OSError(errno.EMFILE, ""), StopJob),
        (OSError(errno.ENFILE, ""), StopJob),
        (NoContactError(), ConfigError),
    ],
)
def test_what_is_ours_stops_the_job(error, raised):
    """It is no fault of the row, and would be every row's."""
    with pytest.raises(raised):
        classify_error(connect(error))
