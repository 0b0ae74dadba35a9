"""One video's use of the proxy: its deadline, its bytes, its connections, and what went wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from pipelines.errors import EcholensError
from schemas.outcome import Outcome, make_outcome

# Whatever the client makes of it, and whatever comes later, these are what became of the video.
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
        proxy_url: what the client is told; it holds the word that opens the proxy.
        host: of the page.
        max_bytes: that may come, all told.
        timeout_s: for all of it; waiting for permits does not count.

    Attributes:
        failure: what the latest connection ended with; None once a later one was made.
        over: done when nothing more will come.
    """

    def __init__(self, proxy_url: str, host: str, max_bytes: int, timeout_s: float) -> None:
        self.proxy_url, self.host = proxy_url, host
        self.failure: Outcome | EcholensError | None = None
        self._left_bytes = max_bytes
        self._loop = asyncio.get_running_loop()
        self.over: asyncio.Future[None] = self._loop.create_future()
        self._until_s = self._loop.time() + timeout_s
        self._timer = self._loop.call_at(self._until_s, self._late)
        self._waiting = 0
        self._waiting_since_s = 0.0
        self._tasks: set[asyncio.Task[object]] = set()

    @property
    def final(self) -> bool:
        """Whether `failure` stands, whatever the client says."""
        return isinstance(self.failure, EcholensError) or self.failure in _FINAL

    def fail(self, failure: Outcome | EcholensError) -> None:
        """Note what went wrong; what is final stays."""
        if not self.final:
            self.failure = failure

    def reached(self) -> None:
        """Note that a host was connected to."""
        if not self.final:
            self.failure = None

    def count(self, size: int) -> None:
        """Count bytes that came; past the cap the visit is over."""
        self._left_bytes -= size
        if self._left_bytes < 0:
            self.fail(make_outcome("invalid", "too_many_bytes"))
            self.close()

    @contextmanager
    def connected(self) -> Iterator[None]:
        """Let the current task end with the visit."""
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
    def waiting(self) -> Iterator[None]:
        """Let the clock stand still: a host's queue is no fault of the video."""
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
                self._timer = self._loop.call_at(self._until_s, self._late)

    def close(self) -> None:
        """End all connections and allow no other."""
        self._timer.cancel()
        if not self.over.done():
            self.over.set_result(None)
        for task in self._tasks:
            task.cancel()

    def _late(self) -> None:
        if self.over.done():
            return
        self.fail(make_outcome("transient", "timeout"))
        self.close()
