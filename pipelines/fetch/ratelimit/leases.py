"""The host rules of a whole cluster: who may ask which host at a moment. No Ray, and no clock of its own.

| rule                    | kept by                                                                        |
|-------------------------|--------------------------------------------------------------------------------|
| connections, requests/s | leases: a worker asks for permits, is given some, and says when each has ended |
| bytes/s                 | an equal share for every connection, which the worker itself keeps             |
| Retry-After             | a hold on the host, told to every worker                                       |
| hosts that are down     | circuits that a worker opened, told to every worker                            |

A lease ends by itself unless it is renewed: the worker may be dead. Jobs with different limits for a host
are all under the strictest: a permit counts in the bucket of every job that limits the host.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import count

from pipelines.fetch.ratelimit.limits import HostLimits, find_strictest
from pipelines.fetch.ratelimit.windows import RateWindow
from schemas.dataset import HostLimit
from schemas.outcome import Outcome

# A lease that nobody renewed for so long is void. Workers renew five times as often.
LEASE_S = 15.0
# A host is held no longer than this for one answer, whatever its Retry-After says.
MAX_HOLD_S = 900.0
# A job that was silent for so long has ended, and its limits with it.
_SILENT_S = 60.0
# Of hosts that are held or down. Those that end first are dropped, and learnt anew.
_REMEMBERED = 20_000


@dataclass(frozen=True, slots=True)
class Permit:
    """A permit: its lease, and how fast its connection may read (None: as it can)."""

    lease: int
    bytes_per_s: float | None


@dataclass(frozen=True, slots=True)
class HostHold:
    """A host that is not to be asked.

    Attributes:
        left_s: how long. A difference, because the clocks of two machines have nothing in common.
        outcome: what a row has that does not wait for it.
        down: whether it is down (its origin is HOST:PORT), or held by its own wish.
    """

    left_s: float
    outcome: Outcome
    down: bool


@dataclass(frozen=True, slots=True)
class StateDelta:
    """What a worker is told: `serial` is what it has heard up to, the rest what is new since."""

    serial: int
    closed: Mapping[str, HostHold | None]  # None: is open again
    limits: tuple[HostLimits, ...]


@dataclass(slots=True)
class _Lease:
    worker: str
    host: str
    buckets: tuple[str, ...]
    until_s: float


class LeaseTable:
    """Leases, holds and circuits.

    Args:
        now_s: a steady clock, in seconds.
        lease_s: how long a lease lasts without being renewed.
        shut_s: for so long nothing is leased: a governor that was started again does not know what is out.
        first: of the numbers of leases and news; one that was started again must not repeat itself.
    """

    def __init__(
        self, now_s: Callable[[], float], *, lease_s: float = LEASE_S, shut_s: float = 0.0, first: int = 1
    ) -> None:
        self._now_s, self._lease_s = now_s, lease_s
        self._shut_until_s = now_s() + shut_s
        self._numbers = count(first)
        self._leases: dict[int, _Lease] = {}
        self._buckets: dict[str, RateWindow] = {}
        self._jobs: dict[HostLimits, float] = {}
        self._serial = first
        self._closed: dict[str, tuple[int, float, HostHold]] = {}  # serial, until, what

    def lease(self, worker: str, host: str, wanted: int, limits: HostLimits, among: int = 1) -> list[Permit]:
        """Return permits for a host: at most `wanted`, and a fair part of what is free, maybe none.

        Args:
            worker: who asks.
            host: to be asked.
            wanted: how many requests wait.
            limits: of the worker's job.
            among: how many workers wait for the host.
        """
        now_s = self._now_s()
        self._hear(limits, now_s)
        self.expire()
        names = self._names(host)
        if now_s < self._shut_until_s or self._held_s(host, now_s) > 0:
            return []
        buckets = [self._buckets[name] for name in names]
        free = min((bucket.free(now_s) for bucket in buckets), default=wanted)
        shares = [share for bucket in buckets if (share := bucket.share_bytes_per_s)]
        grants = []
        for _ in range(min(-(-free // among), wanted)):
            number = next(self._numbers)
            self._take(number, _Lease(worker, host, names, now_s + self._lease_s))
            grants.append(Permit(number, min(shares, default=None)))
        return grants

    def next_s(self, host: str) -> float:
        """Return after how many seconds a permit may be free without anybody's report; inf if never."""
        now_s = self._now_s()
        names = self._names(host)
        waits = [self._buckets[name].next_s(now_s) for name in names]
        waits += [lease.until_s - now_s for lease in self._leases.values() if {*lease.buckets} & {*names}]
        later = max(self._shut_until_s - now_s, self._held_s(host, now_s))
        return max(0.0, later) or max(0.0, min(waits, default=float("inf")))

    def renew(self, worker: str, held: Mapping[int, str], limits: HostLimits) -> None:
        """Keep the leases of a worker (lease -> host), also those of a governor's earlier life."""
        now_s = self._now_s()
        self._hear(limits, now_s)
        for number, host in held.items():
            if number in self._leases:
                self._leases[number].until_s = now_s + self._lease_s
            else:
                self._take(number, _Lease(worker, host, self._names(host), now_s + self._lease_s))
        self.expire()

    def started(self, leases: Iterable[int]) -> None:
        """Learn that the requests of leases have reached their servers."""
        now_s = self._now_s()
        for number in leases:
            if lease := self._leases.get(number):
                for name in lease.buckets:
                    self._buckets[name].started(number, now_s)

    def ended(self, leases: Iterable[int]) -> None:
        """Take leases back."""
        now_s = self._now_s()
        for number in leases:
            if lease := self._leases.pop(number, None):
                for name in lease.buckets:
                    self._buckets[name].ended(number, now_s)

    def expire(self) -> None:
        """Take back the leases that nobody renewed."""
        now_s = self._now_s()
        self.ended([number for number, lease in self._leases.items() if lease.until_s <= now_s])

    def close(self, place: str, closed: HostHold) -> None:
        """Learn that a host is held, or that an origin is down; the longer of two holds stays."""
        now_s = self._now_s()
        until_s = now_s + min(closed.left_s, MAX_HOLD_S)
        before = self._closed.pop(place, None)
        if before and before[1] >= until_s:
            self._closed[place] = before
            return
        if len(self._closed) >= _REMEMBERED:
            del self._closed[min(self._closed, key=lambda name: self._closed[name][1])]
        self._serial += 1
        self._closed[place] = (self._serial, until_s, closed)

    def open(self, place: str) -> None:
        """Learn that an origin answers again."""
        if place in self._closed and self._closed[place][2].down:
            self._serial += 1
            _, _, closed = self._closed[place]
            self._closed[place] = (self._serial, self._now_s(), closed)

    def news(self, since: int) -> StateDelta:
        """Return what has changed after a serial."""
        now_s = self._now_s()
        told: dict[str, HostHold | None] = {}
        for place, (serial, until_s, closed) in [*self._closed.items()]:
            if until_s <= now_s - _SILENT_S:
                del self._closed[place]
            elif serial > since:
                left_s = until_s - now_s
                told[place] = HostHold(left_s, closed.outcome, closed.down) if left_s > 0 else None
        return StateDelta(self._serial, told, tuple(self._jobs))

    def held(self) -> dict[str, int]:
        """Return how many leases are out, by pattern."""
        held: dict[str, int] = {}
        for lease in self._leases.values():
            for name in lease.buckets:
                held[name] = held.get(name, 0) + 1
        return held

    def _take(self, number: int, lease: _Lease) -> None:
        self._leases[number] = lease
        for name in lease.buckets:
            self._buckets[name].take(number)

    def _held_s(self, host: str, now_s: float) -> float:
        found = self._closed.get(host)
        return found[1] - now_s if found and not found[2].down else 0.0

    def _names(self, host: str) -> tuple[str, ...]:
        return tuple(sorted({name for limits in self._jobs if (name := limits.pattern(host))}))

    def _hear(self, limits: HostLimits, now_s: float) -> None:
        new = limits not in self._jobs
        self._jobs[limits] = now_s
        over = [job for job, heard_s in self._jobs.items() if heard_s < now_s - _SILENT_S]
        for job in over:
            del self._jobs[job]
        if new or over:
            self._set_buckets()

    def _set_buckets(self) -> None:
        wanted: dict[str, list[HostLimit]] = {}
        for job in self._jobs:
            for name, limit in job.of:
                if limit is not None:
                    wanted.setdefault(name, []).append(limit)
        for name, limits in wanted.items():
            if name in self._buckets:
                self._buckets[name].set(find_strictest(limits))
            else:
                self._buckets[name] = RateWindow(find_strictest(limits))
