"""What one limit still allows: connections, and requests within a sliding window. No clock of its own."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from schemas.dataset import HostLimit

# A limit of bytes alone is split among so many connections.
_CONNECTIONS_OF_BYTES = 4
_UNLIMITED = 1 << 30


@dataclass(slots=True)
class _SlidingWindow:
    """At most `most` requests within any `length_s` seconds, as the server counts them.

    A permit is used at an unknown time between its grant and the report of its use. So it counts from the
    grant until `length_s` after the report: however late a worker is, the server never sees more.
    """

    most: int
    length_s: float
    starts_s: deque[float] = field(default_factory=deque)

    def count_free(self, now_s: float, unreported: int) -> int:
        while self.starts_s and self.starts_s[0] + self.length_s <= now_s:
            self.starts_s.popleft()
        return self.most - unreported - len(self.starts_s)

    def get_wait_s(self, now_s: float) -> float:
        return max(0.0, self.starts_s[0] + self.length_s - now_s) if self.starts_s else float("inf")


class RateWindow:
    """The permits under one limit. Times are seconds of whatever clock the caller has."""

    def __init__(self, limit: HostLimit) -> None:
        self._leases: set[int] = set()
        self._unreported: set[int] = set()
        self._windows: list[_SlidingWindow] = []
        self.set_limit(limit)

    def set_limit(self, limit: HostLimit) -> None:
        """Change the limit; past requests count on."""
        self.limit = limit
        starts_s = max((window.starts_s for window in self._windows), key=len, default=deque())
        self._windows = [
            _SlidingWindow(most, length_s, deque(starts_s)) for most, length_s in split_limit(limit)
        ]
        self._connections = limit.connections or (_CONNECTIONS_OF_BYTES if limit.bytes_per_s else _UNLIMITED)

    @property
    def share_bytes_per_s(self) -> float | None:
        """How fast one connection may read, so that all together keep the limit."""
        return self.limit.bytes_per_s / self._connections if self.limit.bytes_per_s else None

    def count_free(self, now_s: float) -> int:
        """Return how many permits may be granted at once."""
        unreported = len(self._unreported)
        windows = (window.count_free(now_s, unreported) for window in self._windows)
        return max(0, min(self._connections - len(self._leases), *windows, _UNLIMITED))

    def get_wait_s(self, now_s: float) -> float:
        """Return after how many seconds a window frees a permit by itself; inf if only a report can."""
        return min((window.get_wait_s(now_s) for window in self._windows), default=float("inf"))

    def take(self, lease: int) -> None:
        """Count a permit as granted."""
        self._leases.add(lease)
        self._unreported.add(lease)

    def mark_started(self, lease: int, now_s: float) -> None:
        """Note that a permit's request has reached the server by now."""
        if lease in self._unreported:
            self._unreported.remove(lease)
            for window in self._windows:
                window.starts_s.append(now_s)

    def end(self, lease: int, now_s: float) -> None:
        """Take a permit back; its request is over, if there was one."""
        self.mark_started(lease, now_s)
        self._leases.discard(lease)


def split_limit(limit: HostLimit) -> Iterator[tuple[int, float]]:
    """Yield the windows of a limit: the most requests, and within how many seconds."""
    if limit.requests_per_s:
        # 5 a second are 5 within a second; 0.2 a second are 1 within 5 seconds.
        most = max(1, int(limit.requests_per_s))
        yield most, most / limit.requests_per_s
    if limit.requests_per_min:
        yield limit.requests_per_min, 60.0
    if limit.requests_per_day:
        yield limit.requests_per_day, 86_400.0
    if limit.delay_s:
        yield 1, limit.delay_s
