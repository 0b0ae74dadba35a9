"""The HTTP proxy of this machine's environment: HTTP_PROXY, HTTPS_PROXY and NO_PROXY, or in lower case.

Read here and passed with every request. aiohttp's `trust_env` would send the passwords of ~/.netrc as well,
and would connect to hosts without the guard of addresses.
"""

from __future__ import annotations

import base64
import ipaddress
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote

from yarl import URL

from pipelines.errors import ConfigError, StopJob
from pipelines.fetch.urls import canonicalize_host
from schemas.outcome import Outcome, make_outcome

# Statuses by which a proxy says that it did not get through to the host (RFC 9110). It may be the host's own
# proxy that says so; either way the request is worth another try.
BAD_GATEWAY = frozenset({502, 504})
NO_WAY_THROUGH = make_outcome("failed", "proxy")
WANTS_CREDENTIALS = 407
# This machine itself is never asked through a proxy, as in browsers.
_THIS_MACHINE = ("localhost", "127.0.0.0/8", "::1")
# Hosts of one shard that none was reached of: the proxy is down. Fewer may be chance.
_MIN_HOSTS = 20


@dataclass(frozen=True, slots=True)
class HttpProxy:
    """A proxy; `str()` is HOST:PORT, and its password is in no text at all.

    Attributes:
        host: a name or an address.
        port: of the host.
        authorization: the value of Proxy-Authorization, or None.
    """

    host: str
    port: int
    authorization: str | None = field(default=None, repr=False)

    @property
    def url(self) -> URL:
        """Its URL, without credentials."""
        return URL.build(scheme="http", host=self.host, port=self.port)

    @property
    def headers(self) -> dict[str, str]:
        """The headers that the proxy wants for itself."""
        return {"Proxy-Authorization": self.authorization} if self.authorization else {}

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class ProxySettings:
    """Which hosts are asked through which proxy.

    Attributes:
        http: for http URLs, or None.
        https: for https URLs, through a tunnel, or None.
        bypass: hosts, domains, addresses and networks that are asked directly; `*` is all of them.
    """

    http: HttpProxy | None = None
    https: HttpProxy | None = None
    bypass: tuple[str, ...] = ()

    @property
    def by_scheme(self) -> tuple[tuple[str, HttpProxy | None], ...]:
        """The proxy of each scheme."""
        return ("http", self.http), ("https", self.https)

    def find_proxy(self, scheme: str, host: str, port: int) -> HttpProxy | None:
        """Return the proxy for a host, or None if it is asked directly."""
        proxy = self.https if scheme == "https" else self.http
        if proxy is None or any(_is_named(entry, host, port) for entry in self.bypass):
            return None
        return proxy


def read_proxies(environment: Mapping[str, str] | None = None) -> ProxySettings:
    """Return the proxies of the environment; a name in lower case goes before the same in upper case.

    Args:
        environment: that of this process if None.

    Raises:
        ConfigError: a variable names no http proxy.
    """
    environment = os.environ if environment is None else environment

    def get(name: str) -> str:
        return environment.get(name.lower(), environment.get(name, "")).strip()

    return ProxySettings(
        parse_proxy(get("HTTP_PROXY"), "HTTP_PROXY"),
        parse_proxy(get("HTTPS_PROXY"), "HTTPS_PROXY"),
        (*filter(None, re.split(r"[\s,]+", get("NO_PROXY").lower())), *_THIS_MACHINE),
    )


def parse_proxy(value: str, name: str) -> HttpProxy | None:
    """Return the proxy of a URL, or None if it is empty.

    Args:
        value: `http://[USER:WORD@]HOST[:PORT]`, or HOST:PORT.
        name: where it was given.

    Raises:
        ConfigError: it is none of http; its value, which may have a password, is not shown.
    """
    if not value:
        return None
    scheme, separator, rest = value.partition("://")
    userinfo, at, place = (rest if separator else value).rstrip("/").rpartition("@")
    match = re.fullmatch(r"(\[[^\]]+\]|[^:/?#\s]+)(?::([0-9]{1,5}))?", place)
    host = canonicalize_host(match[1]) if match else None
    port = int(match[2] or (80 if separator else 0)) if match else 0
    wrong_scheme = value.startswith("/") or (separator and scheme.lower() != "http")
    if wrong_scheme or host is None or not 0 < port < 65_536:
        raise ConfigError(
            f"{name} is no http proxy; write it as http://[user:word@]host:port, which serves https as well"
        )
    authorization = None
    if at:
        user, _, word = userinfo.partition(":")
        both = f"{unquote(user)}:{unquote(word)}".encode()
        authorization = f"Basic {base64.b64encode(both).decode()}"
    return HttpProxy(host.strip("[]"), port, authorization)


def make_credentials_error(proxy: HttpProxy) -> StopJob:
    """Return the error of a proxy that answers 407: every other request would fare the same."""
    said = "refuses the credentials that it is given" if proxy.authorization else "wants credentials"
    return StopJob(
        f"failed/proxy: the proxy {proxy} {said} (407); set HTTP_PROXY and HTTPS_PROXY to "
        "http://USER:WORD@HOST:PORT, then start the job again"
    )


def check_proxied(outcomes: Iterable[tuple[str, Outcome]]) -> None:
    """Stop the job if the proxy lets nothing through.

    Args:
        outcomes: the host of each URL of a shard, with the URL's outcome.

    Raises:
        StopJob: none of at least 20 distinct hosts was reached.
    """
    hosts: set[str] = set()
    for host, outcome in outcomes:
        if outcome != NO_WAY_THROUGH:
            return
        hosts.add(host)
    if len(hosts) >= _MIN_HOSTS:
        raise StopJob(
            f"failed/proxy: the proxy reached none of the {len(hosts)} hosts of one shard; check the proxies "
            "that HTTP_PROXY and HTTPS_PROXY name, then start the job again"
        )


def _is_named(entry: str, host: str, port: int) -> bool:
    """Return whether an entry of NO_PROXY names a host."""
    if entry == "*":
        return True
    address = _parse_address(host)
    if address is not None and (network := _parse_network(entry)) is not None:
        return address in network
    name, colon, of_port = entry.rpartition(":")
    if colon and of_port.isdecimal() and (not name.count(":") or name.endswith("]")):
        if int(of_port) != port:
            return False
        entry = name
    domain = entry.removeprefix("*").strip(".").strip("[]")
    domain = domain if domain.isascii() else canonicalize_host(domain) or ""
    return bool(domain) and (host == domain or host.endswith(f".{domain}"))


def _parse_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _parse_network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text.strip("[]"), strict=False)
    except ValueError:
        return None
