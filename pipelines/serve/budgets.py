"""Budgets: what all clients together may hold, and what one of them may."""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import NamedTuple

# One customer of a provider has a network of IPv6 addresses, and one IPv4 address.
_V6_PREFIX = 64


class Cap(NamedTuple):
    """An upper limit.

    Attributes:
        total: of all clients together.
        a_client: of one client.
    """

    total: int
    a_client: int


class Budget:
    """What is held of one kind of thing: connections, requests, bytes.

    Args:
        cap: the most that is held.
    """

    def __init__(self, cap: Cap) -> None:
        self._total, self._a_client = cap
        self._held = 0
        self._of: dict[str | None, int] = {}

    def take(self, client: str | None, amount: int = 1) -> bool:
        """Hold more for a client, if that is within the cap; return whether it is.

        Args:
            client: from `find_client`; None for one who speaks for many, and has no cap of its own.
            amount: that is added.
        """
        own = self._of.get(client, 0) + amount
        if self._held + amount > self._total or (own > self._a_client and client is not None):
            return False
        self._held += amount
        self._of[client] = own
        return True

    def add(self, client: str | None, amount: int) -> None:
        """Hold more for a client, even beyond the cap."""
        self._held += amount
        self._of[client] = self._of.get(client, 0) + amount

    def is_full(self, client: str | None, amount: int = 1) -> bool:
        """Return whether so much more would be over the client's own cap."""
        return client is not None and self._of.get(client, 0) + amount > self._a_client

    def is_exceeded(self, client: str | None) -> bool:
        """Return whether more is held than the cap allows: of the client, or in all."""
        return self._held > self._total or self.is_full(client, 0)

    def give(self, client: str | None, amount: int = 1) -> None:
        """Hold less for a client."""
        self._held -= amount
        if left := self._of[client] - amount:
            self._of[client] = left
        else:
            del self._of[client]


@lru_cache(maxsize=4096)
def find_client(address: str) -> str:
    """Return who counts as one client: an IPv4 address, or the network of an IPv6 address."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, _V6_PREFIX), strict=False))
    return address
