"""Networks that nothing is fetched from, whatever a dataset's file allows: each with its name and its source.

The list is our own, beside that of Python's `ipaddress`, which differs between versions and takes addresses
for global that clouds answer on from the machine itself. First those of clouds, then IANA's registries of
special-purpose addresses; the first network that holds an address names it.
"""

from __future__ import annotations

import ipaddress
from typing import NamedTuple

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network


class ClosedNetwork(NamedTuple):
    """A network, and why nothing is fetched from it."""

    network: IPNetwork
    reason: str


_CLOSED = (
    ("169.254.169.254/32", "metadata of AWS, Azure, Google Cloud, Oracle, OpenStack and others"),
    ("169.254.170.2/32", "credentials of AWS ECS tasks"),
    ("169.254.170.23/32", "credentials of AWS EKS pods"),
    ("169.254.0.23/32", "metadata of Tencent Cloud"),
    ("100.100.100.200/32", "metadata of Alibaba Cloud"),
    ("168.63.129.16/32", "wire server of Azure"),
    ("192.0.0.192/32", "metadata of Oracle Cloud Classic"),
    ("fd00:ec2::/32", "metadata, credentials, names and time of AWS"),
    ("fd20:ce::254/128", "metadata of Google Cloud"),
    ("fd00:a9fe:a9fe::/48", "metadata of Akamai's Linode"),
    ("fd00:42::42/128", "metadata of Scaleway"),
    ("0.0.0.0/8", "this network, RFC 791"),
    ("169.254.0.0/16", "link-local, RFC 3927"),
    ("192.0.0.0/24", "IETF protocol assignments, RFC 6890"),
    ("192.0.2.0/24", "documentation, RFC 5737"),
    ("192.88.99.0/24", "6to4 relays, RFC 7526"),
    ("198.18.0.0/15", "benchmarking, RFC 2544"),
    ("198.51.100.0/24", "documentation, RFC 5737"),
    ("203.0.113.0/24", "documentation, RFC 5737"),
    ("224.0.0.0/4", "multicast, RFC 5771"),
    ("255.255.255.255/32", "broadcast, RFC 919"),
    ("240.0.0.0/4", "reserved, RFC 1112"),
    ("::/128", "unspecified, RFC 4291"),
    ("::ffff:0:0:0/96", "translated IPv4, RFC 7915"),
    ("64:ff9b:1::/48", "local translation of IPv4, RFC 8215"),
    ("100::/64", "discarded, RFC 6666"),
    ("100:0:0:1::/64", "dummy prefix, RFC 9780"),
    ("2001::/32", "Teredo, RFC 4380"),
    ("2001:2::/48", "benchmarking, RFC 5180"),
    ("2001:10::/28", "ORCHID, RFC 4843"),
    ("2001:20::/28", "ORCHIDv2, RFC 7343"),
    ("2001:30::/28", "drone identifiers, RFC 9374"),
    ("2001::/23", "IETF protocol assignments, RFC 2928"),
    ("2001:db8::/32", "documentation, RFC 3849"),
    ("3fff::/20", "documentation, RFC 9637"),
    ("5f00::/16", "segment routing, RFC 9602"),
    ("fe80::/10", "link-local, RFC 4291"),
    ("fec0::/10", "site-local, RFC 3879"),
    ("ff00::/8", "multicast, RFC 4291"),
)
CLOSED = tuple(ClosedNetwork(ipaddress.ip_network(network), reason) for network, reason in _CLOSED)
# Whatever of IPv6 is neither this nor inside is not assigned to anybody; ::/96 was compatible IPv4.
GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")


def find_closed_network(address: IPAddress) -> ClosedNetwork | None:
    """Return the closed network that holds an address; None if no network of the list does."""
    return next((each for each in CLOSED if address in each.network), None)
