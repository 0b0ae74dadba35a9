"""Hosts that one worker knows to be closed: held by their own wish, or down. Bounded, and without a clock.

A circuit opens only on connections that could not be made (refused, unreachable, no answer to a connect),
many in a row and none made between. Such a host fails for every row alike, so a row that is not asked has
the very outcome that asking would have given, and no outcome depends on when a circuit opened.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pipelines.fetch.ratelimit.leases import HostHold
from schemas.outcome import Outcome, make_outcome

# Connections that fail in a row until the rest are not tried.
FAILURES = 8
# What may open a circuit.
UNREACHED = frozenset(
    {
        make_outcome("transient", "connection_refused"),
        make_outcome("transient", "unreachable"),
        make_outcome("transient", "timeout"),
    }
)
# Until a single request tries again, doubled each time that it fails.
_COOL_S, _MAX_COOL_S = 30.0, 600.0
# A try that was never heard of again is over after this.
_TRY_S = 60.0
# Hosts that have failed, or are closed: of a hundred thousand dead hosts most are asked for a row or two.
_REMEMBERED = 10_000


@dataclass(slots=True)
class _Place:
    until_s: float
    outcome: Outcome
    down: bool
    cool_s: float


class CircuitBreakers:
    """What a worker knows, and what it has not yet told the others.

    Args:
        now_s: a steady clock, in seconds.
    """

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._failures: dict[str, int] = {}
        self._places: dict[str, _Place] = {}
        self._closed: dict[str, HostHold] = {}
        self._opened: set[str] = set()

    def close(self, host: str, closed: HostHold) -> None:
        """Learn that a host is closed for a while."""
        self._set(host, closed)
        self._closed[host] = closed

    def held_s(self, host: str) -> float:
        """Return for how much longer a host wants no request."""
        place = self._places.get(host)
        if place is None:
            return 0.0
        left_s = place.until_s - self._now_s()
        if left_s <= 0:
            del self._places[host]
        return left_s

    def outcome(self, host: str) -> Outcome:
        """Return what becomes of a row that does not wait for a host that is held."""
        return self._places[host].outcome

    def down(self, origin: str) -> Outcome | None:
        """Return what a row has become if its origin is down; None for one that may be asked.

        After the cooling time it is None once: that request tries whether the origin is back.
        """
        place = self._places.get(origin)
        if place is None:
            return None
        if place.until_s > self._now_s():
            return place.outcome
        place.until_s = self._now_s() + _TRY_S
        return None

    def reached(self, origin: str) -> None:
        """Learn that a connection was made."""
        self._failures.pop(origin, None)
        if self._places.pop(origin, None):
            self._closed.pop(origin, None)
            self._opened.add(origin)

    def failed(self, origin: str, became: Outcome) -> None:
        """Learn that a connection could not be made."""
        if place := self._places.get(origin):
            self._open(origin, became, min(2 * place.cool_s, _MAX_COOL_S))
            return
        failures = self._failures.pop(origin, 0) + 1
        if failures >= FAILURES:
            self._open(origin, became, _COOL_S)
            return
        self._failures[origin] = failures
        if len(self._failures) > _REMEMBERED:
            del self._failures[next(iter(self._failures))]

    def take_reports(self) -> tuple[dict[str, HostHold], list[str]]:
        """Return what closed and what opened since the last call."""
        closed, opened = self._closed, sorted(self._opened)
        self._closed, self._opened = {}, set()
        return closed, opened

    def hear(self, news: Mapping[str, HostHold | None]) -> None:
        """Learn what other workers found."""
        for place, closed in news.items():
            if closed is not None:
                self._set(place, closed)
            elif place in self._places and self._places[place].down:
                del self._places[place]
                self._failures.pop(place, None)

    def _open(self, origin: str, became: Outcome, cool_s: float) -> None:
        self._places.pop(origin, None)
        self.close(origin, HostHold(cool_s, became, down=True))
        self._places[origin].cool_s = cool_s

    def _set(self, place: str, closed: HostHold) -> None:
        until_s = self._now_s() + closed.left_s
        known = self._places.get(place)
        if known and known.until_s >= until_s:
            return
        if known is None and len(self._places) >= _REMEMBERED:
            del self._places[next(iter(self._places))]
        self._places[place] = _Place(until_s, closed.outcome, closed.down, _COOL_S)
