"""Which addresses may be connected to, decided for every socket when it would connect (against SSRF).

Only then is the address final: names change between look-ups, redirects lead elsewhere, and an address
can be spelt in ways that no parser of URLs sees through (`0x7f.1`, `2130706433`).

| address                                                   | default | allow_private_hosts          |
|-----------------------------------------------------------|---------|------------------------------|
| public                                                    | yes     | yes                          |
| loopback, private, shared, unique local (`INSIDE`)        | no      | for hosts that a list names  |
| link-local, cloud metadata, multicast, unspecified, rest  | no      | no                           |

A redirect is no list: it reaches an inside address only on the same host that the list named.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable
from typing import Any

from pipelines.fetch.networks import GLOBAL_UNICAST, IPAddress, find_closed_network

# As getaddrinfo gives it: family, type, protocol, canonical name, socket address.
AddrInfo = tuple[Any, Any, int, str, tuple[Any, ...]]

# What `allow_private_hosts` allows, but for the closed networks among it; no other non-public address is ever
# allowed.
INSIDE = tuple(
    ipaddress.ip_network(network)
    for network in (
        "127.0.0.0/8",
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "100.64.0.0/10",
        "::1/128",
        "fc00::/7",
    )
)
# The prefix under which IPv6-only networks reach IPv4 hosts (RFC 6052).
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
# The upper half of an interface's identifier that ends in an IPv4 address (ISATAP, RFC 5214).
_ISATAP = frozenset({0x00005EFE, 0x02005EFE})
_LOW_32 = 0xFFFFFFFF


class AddressRefusedError(OSError):
    """The address may not be connected to. An OSError, as any connect that fails."""


class NoContactError(OSError):
    """A public address would be asked without a contact."""


def unwrap_address(address: str) -> IPAddress:
    """Return the address that packets reach: IPv4 embedded in IPv6 becomes IPv4.

    Where two are embedded and one is not public, it is that one.
    """
    parsed = ipaddress.ip_address(address)
    if isinstance(parsed, ipaddress.IPv4Address):
        return parsed
    number = int(parsed)
    embedded = [each for each in (parsed.ipv4_mapped, parsed.sixtofour) if each is not None]
    if parsed in _NAT64 or (number >> 32 & _LOW_32) in _ISATAP:
        embedded.append(ipaddress.IPv4Address(number & _LOW_32))
    first = embedded[0] if embedded else parsed
    return next((each for each in embedded if not is_public(each)), first)


def is_public(address: IPAddress) -> bool:
    """Return whether an address is a unicast one of the open Internet."""
    if find_closed_network(address) is not None:
        return False
    if address.version == 6 and address not in GLOBAL_UNICAST:
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def is_inside(address: IPAddress) -> bool:
    """Return whether an address is one that `allow_private_hosts` allows."""
    return find_closed_network(address) is None and any(address in network for network in INSIDE)


def guard(*, inside: bool, public: bool) -> Callable[[AddrInfo], socket.socket]:
    """Return a socket factory that makes sockets only for addresses that may be connected to.

    Args:
        inside: whether those of `INSIDE` may be.
        public: whether public ones may be; without a contact they may not.
    """

    def make_socket(info: AddrInfo) -> socket.socket:
        family, kind, protocol, _, socket_address = info
        address = unwrap_address(str(socket_address[0]))
        if is_public(address):
            if not public:
                raise NoContactError("no contact")
        elif not (inside and is_inside(address)):
            closed = find_closed_network(address)
            reason = closed.reason if closed else "not public"
            raise AddressRefusedError(f"{address} is not allowed: {reason}")
        return socket.socket(family, kind, protocol)

    return make_socket
