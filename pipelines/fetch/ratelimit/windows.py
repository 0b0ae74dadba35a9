"""What one limit still allows: requests under way, and requests of the last while. No clock of its own."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from schemas.dataset import HostLimit

# A limit of bytes alone is shared out among so many connections.
_CONNECTIONS_OF_BYTES = 4
_NO_END = 1 << 30


@dataclass(slots=True)
class _Window:
    """At most `most` requests within any `length_s` seconds, as the server counts them.

    A permit is used some time between when it is given and when its use is known of. So it counts from the
    first, until `length_s` after the second: however late a worker is, the server never sees more.
    """

    most: int
    length_s: float
    begun_s: deque[float] = field(default_factory=deque)

    def free(self, now_s: float, unknown: int) -> int:
        while self.begun_s and self.begun_s[0] + self.length_s <= now_s:
            self.begun_s.popleft()
        return self.most - unknown - len(self.begun_s)

    def next_s(self, now_s: float) -> float:
        return max(0.0, self.begun_s[0] + self.length_s - now_s) if self.begun_s else float("inf")


class RateWindow:
    """The permits under one limit. Times are seconds of whatever clock the caller has."""

    def __init__(self, limit: HostLimit) -> None:
        self._held: set[int] = set()
        self._unknown: set[int] = set()
        self._windows: list[_Window] = []
        self.set(limit)

    def set(self, limit: HostLimit) -> None:
        """Change the limit; what is known of past requests stays."""
        self.limit = limit
        begun_s = max((window.begun_s for window in self._windows), key=len, default=deque())
        self._windows = [_Window(most, length_s, deque(begun_s)) for most, length_s in _windows(limit)]
        self._connections = limit.connections or (_CONNECTIONS_OF_BYTES if limit.bytes_per_s else _NO_END)

    @property
    def share_bytes_per_s(self) -> float | None:
        """How fast one connection may read, so that all together keep the limit."""
        return self.limit.bytes_per_s / self._connections if self.limit.bytes_per_s else None

    @property
    def idle(self) -> bool:
        """Whether no request is under way or still counts."""
        return not self._held and not any(window.begun_s for window in self._windows)

    def free(self, now_s: float) -> int:
        """Return how many permits may be given at once."""
        unknown = len(self._unknown)
        windows = (window.free(now_s, unknown) for window in self._windows)
        return max(0, min(self._connections - len(self._held), *windows, _NO_END))

    def next_s(self, now_s: float) -> float:
        """Return after how many seconds a window frees a permit by itself; inf if only news can."""
        return min((window.next_s(now_s) for window in self._windows), default=float("inf"))

    def take(self, lease: int) -> None:
        """Give a permit."""
        self._held.add(lease)
        self._unknown.add(lease)

    def started(self, lease: int, now_s: float) -> None:
        """Learn that the request of a permit has reached the server by now."""
        if lease in self._unknown:
            self._unknown.remove(lease)
            for window in self._windows:
                window.begun_s.append(now_s)

    def ended(self, lease: int, now_s: float) -> None:
        """Take a permit back; its request has come and gone, if there was one."""
        self.started(lease, now_s)
        self._held.discard(lease)


def _windows(limit: HostLimit) -> Iterator[tuple[int, float]]:
    if limit.requests_per_s:
        # 5 a second are 5 within a second; 0.2 a second are 1 within 5 seconds.
        most = max(1, int(limit.requests_per_s))
        yield most, most / limit.requests_per_s
    if limit.delay_s:
        yield 1, limit.delay_s
