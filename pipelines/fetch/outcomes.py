"""HTTP statuses and exceptions -> outcomes; by the type of an exception, never by its text."""

from __future__ import annotations

import errno
import socket
import ssl
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import aiohttp

from pipelines.errors import StopJob
from pipelines.fetch.addresses import AddressRefusedError, NoContactError
from pipelines.fetch.http_proxy import NO_WAY_THROUGH
from pipelines.fetch.lenient_http import NOT_HTTP, NotHttpError, TunnelRefusedError
from pipelines.fetch.user_agent import make_no_contact_error
from schemas.outcome import OK, REASONS, Outcome, make_outcome

_NO_SUCH_HOST = frozenset({socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)})
_RESET = frozenset({errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED})
_OUT_OF_FILES = frozenset({errno.EMFILE, errno.ENFILE})

# The first class that an exception is an instance of decides.
_OUTCOMES: dict[type[Exception], Outcome] = {
    TunnelRefusedError: NO_WAY_THROUGH,
    aiohttp.ClientSSLError: make_outcome("transient", "tls"),
    ssl.SSLError: make_outcome("transient", "tls"),
    aiohttp.InvalidURL: make_outcome("invalid", "bad_url"),
    UnicodeError: make_outcome("invalid", "bad_url"),
    aiohttp.ClientResponseError: NOT_HTTP,
    TimeoutError: make_outcome("transient", "timeout"),
}

# Worth a retry within the run: the same request may succeed.
RETRYABLE = frozenset(
    {
        NO_WAY_THROUGH,
        make_outcome("blocked", "http_429"),
        make_outcome("transient", "connection_refused"),
        make_outcome("transient", "connection_reset"),
        make_outcome("transient", "http_5xx"),
    }
)


def classify_status(status: int) -> Outcome:
    """Return the outcome of an HTTP status: ok for 2xx; a 3xx is a redirect without a target.

    Statuses from 600 on are registered nowhere. Sites answer 999 to programs that they do not want.
    """
    if 200 <= status < 300:
        return OK
    if 300 <= status < 400:
        return make_outcome("invalid", "bad_redirect")
    if status >= 600:
        return make_outcome("blocked", "http_999")
    reason = f"http_{status}"
    if reason in REASONS["dead"]:
        return make_outcome("dead", reason)
    if reason in REASONS["blocked"]:
        return make_outcome("blocked", reason)
    return make_outcome("transient", "http_4xx" if 400 <= status < 500 else "http_5xx")


def classify_error(error: Exception) -> Outcome:
    """Return the outcome of an exception of a request, be it aiohttp's or of a connection of our own.

    Raises:
        ConfigError: a public host would have been asked without a contact.
        StopJob: this machine is out of open files.
    """
    if isinstance(error, NotHttpError):
        return error.outcome
    for kind, outcome in _OUTCOMES.items():
        if isinstance(error, kind):
            return outcome
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(cause, socket.gaierror):
        return _classify_lookup(cause)
    if isinstance(cause, OSError) and not isinstance(cause, aiohttp.ClientError):
        return classify_connect_error(cause)
    # Else: reset, closed without a response, or closed before the body was as long as announced.
    return make_outcome("transient", "connection_reset")


def _classify_lookup(error: OSError) -> Outcome:
    missing = error.errno in _NO_SUCH_HOST
    return make_outcome("dead", "no_such_host") if missing else make_outcome("transient", "dns")


def classify_connect_error(error: OSError) -> Outcome:
    """Return the outcome of a connection that could not be made."""
    if isinstance(error, AddressRefusedError):
        return make_outcome("blocked", "private_address")
    if isinstance(error, NoContactError):
        raise make_no_contact_error() from error
    if error.errno in _OUT_OF_FILES:
        raise StopJob(
            "this machine allows no more open files and a request needed one; "
            "raise the limit (ulimit -n) or lower fetch.connections, then start the job again"
        ) from error
    if error.errno in _RESET:
        return make_outcome("transient", "connection_reset")
    if error.errno == errno.ECONNREFUSED:
        return make_outcome("transient", "connection_refused")
    if error.errno == errno.ETIMEDOUT:
        return make_outcome("transient", "timeout")
    return make_outcome("transient", "unreachable")


def parse_retry_after(header: str | None) -> float | None:
    """Return the seconds that a `Retry-After` header asks for, be it a number or a date."""
    if header is None:
        return None
    if header.strip().isdecimal():
        return float(header)
    try:
        date = parsedate_to_datetime(header)
    except (ValueError, TypeError, OverflowError):
        return None
    aware = date if date.tzinfo else date.replace(tzinfo=UTC)
    return max(0.0, (aware - datetime.now(UTC)).total_seconds())
