"""Where workers ask for permits and report: the rules, and those who wait for them."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

from pipelines.fetch.ratelimit.leases import LEASE_S, HostHold, LeaseTable, Permit, StateDelta
from pipelines.fetch.ratelimit.limits import HostLimits

# A call is no longer under way than this: a worker that died waits no longer.
POLL_S = 2.0


@dataclass(frozen=True, slots=True)
class QueueStats:
    """Who waits for a host's permits: how many requests, and the longest for how long."""

    requests: int
    longest_s: float


@dataclass(frozen=True, slots=True)
class PermitReport:
    """What a worker says of itself since its last report.

    Attributes:
        worker: its name.
        limits: of its job.
        since: the serial of the news that it has heard.
        started: leases whose requests have reached their server.
        ended: leases it gives back.
        held: leases it has, with their hosts.
        closed: hosts that asked for a pause and origins that are down.
        opened: origins that answer again.
        requests: how many it has made.
        read_bytes: how much it has read.
        in_flight: requests under way.
        waiting: host -> who waits for it.
        waited_s: host -> seconds that requests have waited.
    """

    worker: str
    limits: HostLimits
    since: int = 0
    started: Sequence[int] = ()
    ended: Sequence[int] = ()
    held: Mapping[int, str] = field(default_factory=dict)
    closed: Mapping[str, HostHold] = field(default_factory=dict)
    opened: Sequence[str] = ()
    requests: int = 0
    read_bytes: int = 0
    in_flight: int = 0
    waiting: Mapping[str, QueueStats] = field(default_factory=dict)
    waited_s: Mapping[str, float] = field(default_factory=dict)


class PermitClient(Protocol):
    """A desk, here or elsewhere."""

    async def lease(self, worker: str, host: str, wanted: int, limits: HostLimits) -> list[Permit]:
        """Return permits for a host as soon as there are some, or none after a while."""
        ...

    async def sync(self, report: PermitReport) -> StateDelta:
        """Take a worker's report and return what is new."""
        ...


class PermitBroker:
    """Gives permits in the order in which workers asked. Lives in one event loop.

    Args:
        lease_s: see `LeaseTable`.
        shut_s: see `LeaseTable`.
        first: see `LeaseTable`.
    """

    def __init__(self, lease_s: float = LEASE_S, shut_s: float = 0.0, first: int = 1) -> None:
        self.rules = LeaseTable(time.monotonic, lease_s=lease_s, shut_s=shut_s, first=first)
        self._changed = asyncio.Condition()
        self._asking: Counter[str] = Counter()

    async def lease(self, worker: str, host: str, wanted: int, limits: HostLimits) -> list[Permit]:
        """Return permits for a host as soon as there are some, or none after `POLL_S`."""
        end_s = time.monotonic() + POLL_S
        self._asking[host] += 1
        try:
            while True:
                grants = self.rules.lease(worker, host, wanted, limits, self._asking[host])
                left_s = end_s - time.monotonic()
                if grants or left_s <= 0:
                    return grants
                with suppress(TimeoutError):
                    async with asyncio.timeout(min(left_s, self.rules.next_s(host))), self._changed:
                        await self._changed.wait()
        finally:
            self._asking -= Counter({host: 1})

    async def sync(self, report: PermitReport) -> StateDelta:
        """Take a worker's report and return what is new."""
        self.rules.started(report.started)
        self.rules.ended(report.ended)
        self.rules.renew(report.worker, report.held, report.limits)
        for place, closed in report.closed.items():
            self.rules.close(place, closed)
        for place in report.opened:
            self.rules.open(place)
        if report.started or report.ended:
            async with self._changed:
                self._changed.notify_all()
        return self.rules.news(report.since)
