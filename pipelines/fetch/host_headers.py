"""Headers that one host alone gets, such as the token of an archive: `fetch.headers`.

A value is read from the environment of the fetching machine and is in no file. It goes to the host that it
was given for, at its port, with requests for URLs of the lists: never with the request that follows a
redirect, wherever that leads. In the clear it goes to this machine itself, or where the file says http://.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from yarl import URL

from pipelines.errors import ConfigError
from pipelines.fetch.urls import parse_url
from schemas.fetch import Fetch

# A reference to the environment, behind a word such as Bearer where the value has none.
_REFERENCE = re.compile(r"((?:[A-Za-z][A-Za-z0-9-]* )?)\$([A-Za-z_][A-Za-z0-9_]*)")
# As RFC 9110 has it; blanks and letters beyond ASCII would mean something else to every server.
_VALUE = re.compile(r"[\x21-\x7e]+(?: [\x21-\x7e]+)*")


@dataclass(frozen=True)
class HostHeaders:
    """The headers of each origin; their values are in no text of it."""

    by_origin: Mapping[str, Mapping[str, str]] = field(default_factory=dict, repr=False)

    def find(self, url: URL) -> Mapping[str, str]:
        """Return the headers for a URL of a list; empty for every other host, port and scheme."""
        return self.by_origin.get(_name_origin(url), {})


def read_host_headers(fetch: Fetch, environment: Mapping[str, str] | None = None) -> HostHeaders:
    """Return the headers of a dataset's file, with their values.

    Args:
        fetch: of the dataset.
        environment: that of this process if None.

    Raises:
        ConfigError: a host is none, or a variable is not set or holds what no header can; its value is not
            shown.
    """
    environment = os.environ if environment is None else environment
    found: dict[str, dict[str, str]] = {}
    for host, headers in fetch.headers.items():
        for origin in map(_name_origin, _list_urls(host)):
            values = {
                name: _read_value(host, name, reference, environment) for name, reference in headers.items()
            }
            found.setdefault(origin, {}).update(values)
    return HostHeaders(found)


def list_address_patterns(fetch: Fetch) -> Mapping[str, str]:
    """Return the keys of `fetch.headers`, each with the RE2 of the URLs that get its headers.

    Raises:
        ConfigError: a host is none.
    """
    found = {}
    for host in fetch.headers:
        origins = []
        for url in _list_urls(host):
            names = "|".join(re.escape(name) for name in (url.host_subcomponent, url.host) if name)
            port = f"(?::{url.port})?" if url.is_default_port() else f":{url.port}"
            origins.append(f"{url.scheme}://(?:{names}){port}(?:[/?#]|$)")
        found[host] = f"(?i)^(?:{'|'.join(origins)})"
    return found


def _list_urls(host: str) -> list[URL]:
    """Return the URLs of the origins that a key of `fetch.headers` stands for."""
    scheme = "" if "://" in host else "https://"
    url = parse_url(f"{scheme}{host}")
    if url is None or url.raw_path_qs != "/":
        raise ConfigError(
            f"fetch.headers names {host[:100]!r}, which is no host; write a.example, or http://a.example "
            "where the value may be sent in the clear"
        )
    urls = [url]
    if scheme and _is_this_machine(url.raw_host or ""):
        urls.append(parse_url(f"http://{host}") or url)
    return urls


def _name_origin(url: URL) -> str:
    return f"{url.scheme}://{url.raw_host}:{url.port}"


def _is_this_machine(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _read_value(host: str, name: str, reference: str, environment: Mapping[str, str]) -> str:
    match = _REFERENCE.fullmatch(reference)
    assert match is not None, "the schema takes references alone"
    word, variable = match.groups()
    value = environment.get(variable, "").strip(" ")
    if not value:
        raise ConfigError(
            f"fetch.headers.{host}.{name} is ${variable}, which the environment does not have; set it where "
            "the workers run"
        )
    if not _VALUE.fullmatch(value):
        raise ConfigError(
            f"fetch.headers.{host}.{name}: ${variable} holds a line break or another character that no "
            "header can have; set it to the token alone"
        )
    return f"{word}{value}"
