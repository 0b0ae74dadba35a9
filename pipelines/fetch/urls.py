"""URLs of lists and of `Location` headers, as they go on the wire: their own bytes, and a canonical host.

| part          | becomes                                                                                  |
|---------------|------------------------------------------------------------------------------------------|
| scheme        | lower case; http or https                                                                |
| userinfo      | refused: credentials of a list are sent to nobody                                        |
| host          | `%XX` decoded, IDNA, lower case, no last dot; an IP address in its short form            |
| port          | left out where it is the scheme's own                                                    |
| path, query   | as written, `%XX` above all, for signatures cover them; `.` and `..` are resolved        |
| illegal there | escaped: blanks, backslashes, backticks, `"<>^{}`, and every byte above 127              |
| fragment      | dropped                                                                                  |
| controls      | refused, wherever they are; blanks around a URL are dropped                              |

`[`, `]`, `|` and a `%` without two digits are illegal as well, but browsers and curl send them as they are,
and so do we. A text is escaped as UTF-8; the raw bytes of a header stay the bytes that they are.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from functools import lru_cache
from urllib.parse import quote, unquote

from yarl import URL

# The host ends where a parser of RFC 3986 or of WHATWG would end it; a backslash there is refused, because
# the two disagree on who is asked.
_ABSOLUTE = re.compile(r"(https?)://([^/?#\\]*)([^?#]*)(\?[^#]*)?(?:#.*)?", re.IGNORECASE)
_RELATIVE = re.compile(r"([^?#]*)(\?[^#]*)?(?:#.*)?")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]")
_LEGAL = "!$&'()*+,;=:@/?%[]|"
# RFC 3986's reg-name without escapes, for those are decoded.
_HOST = re.compile(r"[a-z0-9._~!$&'()*+,;=-]+")
_HOST_PORT = re.compile(r"(\[[^\]]*\]|[^:]*)(?::([0-9]{0,5}))?")
_NUMBER = re.compile(r"(^|\.)(0x[0-9a-f]*|[0-9]+)$")
# A name has 253 at most, of which each may be written as twelve (`%F0%9F%98%80`).
_MAX_HOST_CHARS = 4096
_DEFAULT_PORTS = {"http": 80, "https": 443}


def parse_url(text: str, base: URL | None = None) -> URL | None:
    """Return a URL that may be requested, or None.

    Args:
        text: of a list, or of a `Location` header, whose bytes beyond UTF-8 are surrogates.
        base: of the response whose `Location` it is, which may be relative.
    """
    text = text.strip(" ")
    if _CONTROLS.search(text):
        return None
    if base is not None and not _SCHEME.match(text):
        return _join(base, text)
    match = _ABSOLUTE.fullmatch(text)
    if match is None:
        return None
    scheme, authority, path, query = match.groups()
    authority = _parse_authority(authority, scheme.lower())
    if authority is None or path.startswith("\\"):
        return None
    return _build(scheme.lower(), authority, path or "/", query or "")


def canonicalize_host(host: str) -> str | None:
    """Return the one spelling of a host; None for what can be none."""
    if host.startswith("["):
        return _parse_ipv6(host)
    if len(host) > _MAX_HOST_CHARS:
        return None
    if "%" in host or not host.isascii():
        host = _encode_host(host)
    host = host.lower().rstrip(".")
    if not _HOST.fullmatch(host):
        return None
    return _parse_ipv4(host) if _NUMBER.search(host) else host


def _parse_ipv6(host: str) -> str | None:
    try:
        return f"[{ipaddress.IPv6Address(host[1:-1]).compressed}]" if "%" not in host else None
    except ValueError:
        return None


def _parse_ipv4(host: str) -> str:
    """Return an address as four numbers, however it is written; what is none stays a name."""
    try:
        return socket.inet_ntoa(socket.inet_aton(host))
    except OSError:
        return host


@lru_cache(4096)
def _encode_host(host: str) -> str:
    """Return a host in ASCII, or "" if IDNA has no such name."""
    try:
        decoded = unquote(host, errors="strict")
        return URL.build(scheme="http", host=decoded).raw_host or "" if decoded else ""
    except ValueError:
        return ""


def _parse_authority(authority: str, scheme: str) -> str | None:
    userinfo, _, place = authority.rpartition("@")
    match = _HOST_PORT.fullmatch(place)
    if userinfo or match is None or (host := canonicalize_host(match[1])) is None:
        return None
    port = int(match[2] or _DEFAULT_PORTS[scheme])
    if not 0 < port < 65_536:
        return None
    return host if port == _DEFAULT_PORTS[scheme] else f"{host}:{port}"


def _join(base: URL, text: str) -> URL | None:
    if text.startswith("//"):
        return parse_url(f"{base.scheme}:{text}")
    match = _RELATIVE.fullmatch(text)
    if match is None or not text:
        return None
    path, query = match[1], match[2] or ""
    before, _, _ = base.raw_path.partition("?")
    if not path:
        path, query = before, query or base.raw_path_qs[len(before) :]
    elif not path.startswith("/"):
        path = before.rpartition("/")[0] + "/" + path
    return _build(base.scheme, base.raw_authority, path, query)


def _build(scheme: str, authority: str, path: str, query: str) -> URL | None:
    try:
        path, query = (quote(part, _LEGAL, "utf-8", "surrogateescape") for part in (path, query))
    except UnicodeEncodeError:
        return None
    if "/." in path:
        path = _resolve_dots(path)
    # yarl would drop a `?` that nothing follows; as a part of the path it stays.
    if query == "?":
        path, query = f"{path}?", ""
    return URL.build(scheme=scheme, authority=authority, path=path, query_string=query[1:], encoded=True)


def _resolve_dots(path: str) -> str:
    """Return a path without `.` and `..`, as RFC 3986 (5.2.4) has it; empty segments stay."""
    found: list[str] = []
    segments = path.split("/")[1:]
    for segment in segments:
        if segment == "..":
            del found[-1:]
        elif segment != ".":
            found.append(segment)
    if segments[-1] in (".", ".."):
        found.append("")
    return "/" + "/".join(found)
