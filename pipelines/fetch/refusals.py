"""Hosts whose pictures were built to take long: who sends little else is not asked for ever.

Such a picture costs its whole budget, 20 s of a core, and a list may name a million of them.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

# What is refused sooner costs no more than an honest picture. Waiting for other pictures counts, too.
COSTLY_S = 5.0
# Costly pictures of a host, beside one of every 40 that were decoded.
_MOST = 5
_DECODED_A_COSTLY = 40
# The hosts that are remembered: the others have cost nothing lately.
_MAX_HOSTS = 10_000


@dataclass(slots=True)
class _HostCost:
    costly: int = 0
    decoded: int = 0


class RefusalBudget:
    """What each host has cost one worker."""

    def __init__(self) -> None:
        self._costs: OrderedDict[str, _HostCost] = OrderedDict()

    def refuse(self, host: str) -> None:
        """Note that a picture of a host took long, and was refused."""
        self._costs.setdefault(host, _HostCost()).costly += 1
        self._costs.move_to_end(host)
        if len(self._costs) > _MAX_HOSTS:
            self._costs.popitem(last=False)

    def accept(self, host: str) -> None:
        """Note that a picture of a host was decoded."""
        # Hosts that have cost nothing need no more than that.
        if cost := self._costs.get(host):
            cost.decoded += 1

    def is_spent(self, host: str) -> bool:
        """Return whether a host has cost more than what it gave is worth."""
        cost = self._costs.get(host)
        return cost is not None and cost.costly > _MOST + cost.decoded // _DECODED_A_COSTLY
