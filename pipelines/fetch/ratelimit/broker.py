"""Where workers request permits and report: the lease table, with the workers that wait for permits."""

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

# Long polling: no call waits longer than this, so that one of a dead worker ends.
POLL_S = 2.0


@dataclass(frozen=True, slots=True)
class QueueStats:
    """A worker's queue for a host's permits: how many requests, and how long the first has waited."""

    requests: int = 0
    longest_s: float = 0.0


@dataclass(frozen=True, slots=True)
class PermitReport:
    """A worker's report since its last one.

    Attributes:
        worker: its name.
        limits: of its job.
        since: the serial of the last delta that it has applied.
        started: leases whose requests have reached their server.
        ended: leases that it returns.
        leases: those that it has, with their hosts.
        holds: hosts that asked for a pause and origins that are down.
        recovered: origins that answer again.
        requests: how many it has made.
        read_bytes: how much it has read.
        in_flight: requests in flight.
        waiting: host -> its queue.
        waited_s: host -> seconds that requests have waited.
        lookups: names that wait for the name service.
    """

    worker: str
    limits: HostLimits
    since: int = 0
    started: Sequence[int] = ()
    ended: Sequence[int] = ()
    leases: Mapping[int, str] = field(default_factory=dict)
    holds: Mapping[str, HostHold] = field(default_factory=dict)
    recovered: Sequence[str] = ()
    requests: int = 0
    read_bytes: int = 0
    in_flight: int = 0
    waiting: Mapping[str, QueueStats] = field(default_factory=dict)
    waited_s: Mapping[str, float] = field(default_factory=dict)
    lookups: QueueStats = QueueStats()


class PermitClient(Protocol):
    """A broker, in this process or elsewhere."""

    async def request_permits(self, worker: str, host: str, most: int, limits: HostLimits) -> list[Permit]:
        """Return at most `most` permits for a host as soon as there are some, or none after a while."""
        ...

    async def sync(self, report: PermitReport) -> StateDelta:
        """Take a worker's report and return what is new."""
        ...


class PermitBroker:
    """Grants permits in the order in which workers asked. Lives in one event loop.

    Args:
        lease_s: see `LeaseTable`.
        shut_s: see `LeaseTable`.
        first: see `LeaseTable`.
    """

    def __init__(self, lease_s: float = LEASE_S, shut_s: float = 0.0, first: int = 1) -> None:
        self.table = LeaseTable(time.monotonic, lease_s=lease_s, shut_s=shut_s, first=first)
        self._changed = asyncio.Condition()
        self._waiting_workers: Counter[str] = Counter()

    async def request_permits(self, worker: str, host: str, most: int, limits: HostLimits) -> list[Permit]:
        """Return at most `most` permits for a host as soon as there are some, or none after `POLL_S`."""
        end_s = time.monotonic() + POLL_S
        self._waiting_workers[host] += 1
        try:
            while True:
                permits = self.table.grant_permits(worker, host, most, limits, self._waiting_workers[host])
                left_s = end_s - time.monotonic()
                if permits or left_s <= 0:
                    return permits
                with suppress(TimeoutError):
                    async with asyncio.timeout(min(left_s, self.table.get_wait_s(host))), self._changed:
                        await self._changed.wait()
        finally:
            self._waiting_workers -= Counter({host: 1})

    async def sync(self, report: PermitReport) -> StateDelta:
        """Take a worker's report and return what is new."""
        self.table.mark_started(report.started)
        self.table.end(report.ended)
        self.table.renew(report.worker, report.leases, report.limits)
        for name, hold in report.holds.items():
            self.table.add_hold(name, hold)
        for origin in report.recovered:
            self.table.end_hold(origin)
        if report.started or report.ended:
            async with self._changed:
                self._changed.notify_all()
        return self.table.get_delta(report.since)
