"""One video's use of the proxy: deadline, bytes, connections, and failure."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from pipelines.errors import EcholensError
from schemas.outcome import Outcome, make_outcome

# Outcomes of the video that stand, whatever the client reports and whatever comes later.
_FINAL = frozenset(
    {
        make_outcome("blocked", "private_address"),
        make_outcome("blocked", "robots_noai"),
        make_outcome("invalid", "too_many_bytes"),
    }
)


class ProxySession:
    """Made, used and closed in the proxy's event loop.

    Args:
        proxy_url: for the client; it holds the session's token.
        host: of the page.
        max_bytes: that may be received in total.
        timeout_s: in total; waiting for permits does not count.

    Attributes:
        failure: of the latest connection; None once a later one was made.
        over: done when the session has ended.
    """

    def __init__(self, proxy_url: str, host: str, max_bytes: int, timeout_s: float) -> None:
        self.proxy_url, self.host = proxy_url, host
        self.failure: Outcome | EcholensError | None = None
        self._left_bytes = max_bytes
        self._loop = asyncio.get_running_loop()
        self.over: asyncio.Future[None] = self._loop.create_future()
        self._until_s = self._loop.time() + timeout_s
        self._timer = self._loop.call_at(self._until_s, self._expire)
        self._waiting = 0
        self._waiting_since_s = 0.0
        self._tasks: set[asyncio.Task[object]] = set()

    @property
    def final(self) -> bool:
        """Whether `failure` stands, whatever the client reports."""
        return isinstance(self.failure, EcholensError) or self.failure in _FINAL

    def fail(self, failure: Outcome | EcholensError) -> None:
        """Set the failure; a final one stays."""
        if not self.final:
            self.failure = failure

    def report_reached(self) -> None:
        """Clear the failure, for a host was connected to; a final one stays."""
        if not self.final:
            self.failure = None

    def count_bytes(self, size: int) -> None:
        """Count received bytes; past the cap the session ends."""
        self._left_bytes -= size
        if self._left_bytes < 0:
            self.fail(make_outcome("invalid", "too_many_bytes"))
            self.close()

    @contextmanager
    def bind_task(self) -> Iterator[None]:
        """Cancel the current task when the session ends."""
        task = asyncio.current_task()
        assert task is not None
        if self.over.done():
            raise EOFError
        self._tasks.add(task)
        try:
            yield
        finally:
            self._tasks.discard(task)

    @contextmanager
    def pause_clock(self) -> Iterator[None]:
        """Pause the deadline: a host's queue is no fault of the video."""
        if not self._waiting:
            self._waiting_since_s = self._loop.time()
            self._timer.cancel()
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1
            if not self._waiting:
                self._until_s += self._loop.time() - self._waiting_since_s
                self._timer = self._loop.call_at(self._until_s, self._expire)

    def close(self) -> None:
        """Close all connections and allow no other."""
        self._timer.cancel()
        if not self.over.done():
            self.over.set_result(None)
        for task in self._tasks:
            task.cancel()

    def _expire(self) -> None:
        if self.over.done():
            return
        self.fail(make_outcome("transient", "timeout"))
        self.close()
