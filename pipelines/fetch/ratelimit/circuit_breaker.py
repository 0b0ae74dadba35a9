"""Hosts that one worker knows to be on hold or down. Bounded, and without a clock of its own.

A circuit opens only on connections that could not be made (refused, unreachable, no answer to a connect),
many in a row and none made between. Such a host fails for every row alike, so a row that is not asked for
has the very outcome that asking would have given, and no outcome depends on when a circuit opened.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pipelines.fetch.ratelimit.leases import HostHold
from schemas.outcome import Outcome, make_outcome

# Failed connections in a row that open a circuit.
FAILURES = 8
# Outcomes that count as a failed connection.
UNREACHED = frozenset(
    {
        make_outcome("transient", "connection_refused"),
        make_outcome("transient", "unreachable"),
        make_outcome("transient", "timeout"),
    }
)
# Until a single request probes the origin (half-open), doubled each time that it fails.
_COOL_S, _MAX_COOL_S = 30.0, 600.0
# A probe without a result is over after this.
_PROBE_S = 60.0
# Hosts that have failed or are held: of a hundred thousand dead hosts most are asked for a row or two.
_MAX_HOSTS = 10_000


@dataclass(slots=True)
class _Hold:
    until_s: float
    outcome: Outcome
    down: bool
    cool_s: float


class CircuitBreakers:
    """The holds that a worker knows of, and the changes that it has not yet reported.

    Args:
        now_s: a steady clock, in seconds.
    """

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._failures: dict[str, int] = {}
        self._holds: dict[str, _Hold] = {}
        self._new_holds: dict[str, HostHold] = {}
        self._recovered: set[str] = set()

    def add_hold(self, host: str, hold: HostHold) -> None:
        """Hold a host for a while, and report it."""
        self._set(host, hold)
        self._new_holds[host] = hold

    def get_hold_s(self, host: str) -> float:
        """Return for how many more seconds a host wants no request; 0 or less if it may be asked."""
        hold = self._holds.get(host)
        if hold is None:
            return 0.0
        left_s = hold.until_s - self._now_s()
        if left_s <= 0:
            del self._holds[host]
        return left_s

    def get_outcome(self, host: str) -> Outcome:
        """Return the outcome of a row that does not wait for a host on hold."""
        return self._holds[host].outcome

    def check_origin(self, origin: str) -> Outcome | None:
        """Return a row's outcome if its origin is down; None for one that may be asked.

        After the cooling time it is None once: that request probes whether the origin is back.
        """
        hold = self._holds.get(origin)
        if hold is None:
            return None
        if hold.until_s > self._now_s():
            return hold.outcome
        hold.until_s = self._now_s() + _PROBE_S
        return None

    def report_reached(self, origin: str) -> None:
        """Note that a connection was made."""
        self._failures.pop(origin, None)
        if self._holds.pop(origin, None):
            self._new_holds.pop(origin, None)
            self._recovered.add(origin)

    def report_failure(self, origin: str, outcome: Outcome) -> None:
        """Note that a connection could not be made."""
        if hold := self._holds.get(origin):
            self._open(origin, outcome, min(2 * hold.cool_s, _MAX_COOL_S))
            return
        failures = self._failures.pop(origin, 0) + 1
        if failures >= FAILURES:
            self._open(origin, outcome, _COOL_S)
            return
        self._failures[origin] = failures
        if len(self._failures) > _MAX_HOSTS:
            del self._failures[next(iter(self._failures))]

    def take_changes(self) -> tuple[dict[str, HostHold], list[str]]:
        """Return the new holds and the origins that recovered since the last call."""
        holds, recovered = self._new_holds, sorted(self._recovered)
        self._new_holds, self._recovered = {}, set()
        return holds, recovered

    def apply(self, holds: Mapping[str, HostHold | None]) -> None:
        """Apply what other workers reported; None ends a hold."""
        for name, hold in holds.items():
            if hold is not None:
                self._set(name, hold)
            elif name in self._holds and self._holds[name].down:
                del self._holds[name]
                self._failures.pop(name, None)

    def _open(self, origin: str, outcome: Outcome, cool_s: float) -> None:
        self._holds.pop(origin, None)
        self.add_hold(origin, HostHold(cool_s, outcome, down=True))
        self._holds[origin].cool_s = cool_s

    def _set(self, name: str, hold: HostHold) -> None:
        until_s = self._now_s() + hold.left_s
        before = self._holds.get(name)
        if before and before.until_s >= until_s:
            return
        if before is None and len(self._holds) >= _MAX_HOSTS:
            del self._holds[next(iter(self._holds))]
        self._holds[name] = _Hold(until_s, hold.outcome, hold.down, _COOL_S)
