"""Rates of clients: a token bucket for each."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipelines.serve.settings import ServiceLimits

# Clients that are remembered, two numbers each.
MAX_CLIENTS = 10_000


class TokenBucket:
    """A token bucket for every client: a request takes a token, and tokens are refilled at a rate.

    Args:
        limits: the rate and the burst.
        clock: in seconds.
    """

    def __init__(self, limits: ServiceLimits, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._burst, self._clock = limits.requests_a_s, limits.burst, clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, client: str) -> float:
        """Take a token of a client; return 0, or the seconds until there will be one."""
        return self._update(client, 1) if self._rate else 0.0

    def wait_s(self, client: str) -> float:
        """Return the seconds until a client has a token; 0 if it has one. None is taken."""
        return self._update(client, 0) if self._rate and client in self._buckets else 0.0

    def _update(self, client: str, taken: int) -> float:
        now = self._clock()
        tokens, since = self._buckets.pop(client, (float(self._burst), now))
        tokens = min(self._burst, tokens + (now - since) * self._rate)
        wait_s = 0.0 if tokens >= 1 else (1 - tokens) / self._rate
        self._buckets[client] = (tokens - (0 if wait_s else taken), now)
        if len(self._buckets) > MAX_CLIENTS:
            self._buckets.popitem(last=False)
        return wait_s
