"""The lease table of a whole cluster: who may ask which host when. No Ray, and no clock of its own.

| rule                    | kept by                                                                        |
|-------------------------|--------------------------------------------------------------------------------|
| connections, requests/s | leases: a worker asks for permits, is granted some, and reports their ends     |
| bytes/s                 | an equal share for every connection, which the worker itself keeps             |
| Retry-After             | a hold on the host, sent to every worker                                       |
| hosts that are down     | holds on origins whose circuit a worker opened, sent to every worker           |

A lease expires unless it is renewed: the worker may be dead. Jobs with different limits for a host are all
under the strictest: a permit counts in the window of every job that limits the host.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import count

from pipelines.fetch.ratelimit.limits import HostLimits, find_strictest
from pipelines.fetch.ratelimit.windows import RateWindow
from schemas.dataset import HostLimit
from schemas.outcome import Outcome

# A lease expires if it is not renewed for so long. Workers renew five times as often.
LEASE_S = 15.0
# A host is held no longer than this for one response, whatever its Retry-After says.
MAX_HOLD_S = 900.0
# A job that was silent for so long has ended, and its limits with it.
_SILENT_S = 60.0
# The most holds on hosts and origins. Those that end first are dropped, and learnt anew.
_MAX_HOLDS = 20_000


@dataclass(frozen=True, slots=True)
class Permit:
    """A permit: its lease, and how fast its connection may read (None: as it can)."""

    lease: int
    bytes_per_s: float | None


@dataclass(frozen=True, slots=True)
class HostHold:
    """A time for which a host is not to be asked.

    Attributes:
        left_s: how long. A difference, because the clocks of two machines have nothing in common.
        outcome: of a row that does not wait for it.
        down: whether the origin (HOST:PORT) is down; else the host itself asked for a pause.
    """

    left_s: float
    outcome: Outcome
    down: bool


@dataclass(frozen=True, slots=True)
class StateDelta:
    """What changed for a worker since its last sync.

    Attributes:
        serial: of the latest change; the worker sends it with its next report.
        holds: host or origin -> its hold; None where it has ended.
        limits: of all jobs at work.
    """

    serial: int
    holds: Mapping[str, HostHold | None]
    limits: tuple[HostLimits, ...]


@dataclass(slots=True)
class _Lease:
    worker: str
    host: str
    patterns: tuple[str, ...]
    until_s: float


class LeaseTable:
    """Leases, and holds on hosts and origins.

    Args:
        now_s: a steady clock, in seconds.
        lease_s: how long a lease lasts without being renewed.
        shut_s: for so long nothing is granted: a restarted governor does not know which leases are out.
        first: of the numbers of leases and changes; a restarted governor must not repeat earlier ones.
    """

    def __init__(
        self, now_s: Callable[[], float], *, lease_s: float = LEASE_S, shut_s: float = 0.0, first: int = 1
    ) -> None:
        self._now_s, self._lease_s = now_s, lease_s
        self._shut_until_s = now_s() + shut_s
        self._numbers = count(first)
        self._leases: dict[int, _Lease] = {}
        self._windows: dict[str, RateWindow] = {}  # by pattern
        self._jobs: dict[HostLimits, float] = {}  # when each was last seen
        self._serial = first
        self._holds: dict[str, tuple[int, float, HostHold]] = {}  # serial, end, hold

    def grant_permits(
        self, worker: str, host: str, most: int, limits: HostLimits, among: int = 1
    ) -> list[Permit]:
        """Return permits for a host: at most `most`, and a fair part of what is free, maybe none.

        Args:
            worker: who asks.
            host: to be asked.
            most: how many requests wait.
            limits: of the worker's job.
            among: how many workers wait for the host.
        """
        now_s = self._now_s()
        self._see_job(limits, now_s)
        self.expire()
        patterns = self._list_patterns(host)
        if now_s < self._shut_until_s or self.get_hold_s(host) > 0:
            return []
        windows = [self._windows[pattern] for pattern in patterns]
        free = min((window.count_free(now_s) for window in windows), default=most)
        shares = [share for window in windows if (share := window.share_bytes_per_s)]
        permits = []
        for _ in range(min(-(-free // among), most)):
            number = next(self._numbers)
            self._add(number, _Lease(worker, host, patterns, now_s + self._lease_s))
            permits.append(Permit(number, min(shares, default=None)))
        return permits

    def get_wait_s(self, host: str) -> float:
        """Return after how many seconds a permit may be free without any report; inf if never."""
        now_s = self._now_s()
        patterns = self._list_patterns(host)
        waits_s = [self._windows[pattern].get_wait_s(now_s) for pattern in patterns]
        waits_s += [
            lease.until_s - now_s for lease in self._leases.values() if {*lease.patterns} & {*patterns}
        ]
        shut_s = max(self._shut_until_s - now_s, self.get_hold_s(host))
        return max(0.0, shut_s) or max(0.0, min(waits_s, default=float("inf")))

    def renew(self, worker: str, leases: Mapping[int, str], limits: HostLimits) -> None:
        """Renew the leases of a worker, also those that a governor granted before its restart.

        Args:
            worker: who reports.
            leases: number -> host.
            limits: of the worker's job.
        """
        now_s = self._now_s()
        self._see_job(limits, now_s)
        for number, host in leases.items():
            if number in self._leases:
                self._leases[number].until_s = now_s + self._lease_s
            else:
                self._add(number, _Lease(worker, host, self._list_patterns(host), now_s + self._lease_s))
        self.expire()

    def mark_started(self, numbers: Iterable[int]) -> None:
        """Note that the requests of leases have reached their servers."""
        now_s = self._now_s()
        for number in numbers:
            if lease := self._leases.get(number):
                for pattern in lease.patterns:
                    self._windows[pattern].mark_started(number, now_s)

    def end(self, numbers: Iterable[int]) -> None:
        """Take leases back."""
        now_s = self._now_s()
        for number in numbers:
            if lease := self._leases.pop(number, None):
                for pattern in lease.patterns:
                    self._windows[pattern].end(number, now_s)

    def expire(self) -> None:
        """Take back the leases that were not renewed."""
        now_s = self._now_s()
        self.end([number for number, lease in self._leases.items() if lease.until_s <= now_s])

    def add_hold(self, name: str, hold: HostHold) -> None:
        """Hold a host or an origin; the longer of two holds stays."""
        now_s = self._now_s()
        until_s = now_s + min(hold.left_s, MAX_HOLD_S)
        before = self._holds.pop(name, None)
        if before and before[1] >= until_s:
            self._holds[name] = before
            return
        if len(self._holds) >= _MAX_HOLDS:
            del self._holds[min(self._holds, key=lambda each: self._holds[each][1])]
        self._serial += 1
        self._holds[name] = (self._serial, until_s, hold)

    def end_hold(self, origin: str) -> None:
        """End the hold on an origin that answers again."""
        if origin in self._holds and self._holds[origin][2].down:
            self._serial += 1
            _, _, hold = self._holds[origin]
            self._holds[origin] = (self._serial, self._now_s(), hold)

    def get_delta(self, since: int) -> StateDelta:
        """Return what has changed after a serial."""
        now_s = self._now_s()
        changed: dict[str, HostHold | None] = {}
        for name, (serial, until_s, hold) in [*self._holds.items()]:
            if until_s <= now_s - _SILENT_S:
                del self._holds[name]
            elif serial > since:
                left_s = until_s - now_s
                changed[name] = HostHold(left_s, hold.outcome, hold.down) if left_s > 0 else None
        return StateDelta(self._serial, changed, tuple(self._jobs))

    def get_hold_s(self, host: str) -> float:
        """Return for how many more seconds a host wants no request; 0 or less if it may be asked."""
        found = self._holds.get(host)
        return found[1] - self._now_s() if found and not found[2].down else 0.0

    def forecast_wait_s(self, host: str) -> float:
        """Return for how many more seconds a host is not to be asked; inf if a request must end first."""
        now_s, hold_s = self._now_s(), self.get_hold_s(host)
        waits_s = [self._windows[pattern].get_wait_s(now_s) for pattern in self._list_patterns(host)]
        return hold_s if hold_s > 0 else max(waits_s, default=float("inf"))

    def count_leases(self) -> dict[str, int]:
        """Return how many leases are out, by pattern."""
        counts: dict[str, int] = {}
        for lease in self._leases.values():
            for pattern in lease.patterns:
                counts[pattern] = counts.get(pattern, 0) + 1
        return counts

    def _add(self, number: int, lease: _Lease) -> None:
        self._leases[number] = lease
        for pattern in lease.patterns:
            self._windows[pattern].take(number)

    def _list_patterns(self, host: str) -> tuple[str, ...]:
        return tuple(sorted({pattern for limits in self._jobs if (pattern := limits.find_pattern(host))}))

    def _see_job(self, limits: HostLimits, now_s: float) -> None:
        """Note that a job is at work, and forget those that have been silent for too long."""
        new = limits not in self._jobs
        self._jobs[limits] = now_s
        over = [job for job, seen_s in self._jobs.items() if seen_s < now_s - _SILENT_S]
        for job in over:
            del self._jobs[job]
        if new or over:
            self._update_windows()

    def _update_windows(self) -> None:
        by_pattern: dict[str, list[HostLimit]] = {}
        for job in self._jobs:
            for pattern, limit in job.entries:
                if limit is not None:
                    by_pattern.setdefault(pattern, []).append(limit)
        for pattern, limits in by_pattern.items():
            if pattern in self._windows:
                self._windows[pattern].set_limit(find_strictest(limits))
            else:
                self._windows[pattern] = RateWindow(find_strictest(limits))
