"""Threads that make media beside an event loop, and give what they made back to it several at a time."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")

# Whenever a thread wakes the loop, the two fight for Python's lock. So results wait for each other while
# there is more to make: for so many, or for so long.
_TOGETHER = 8
_WAIT_S = 0.02


@dataclass(slots=True)
class _Job:
    work: Callable[[], Any]
    future: asyncio.Future[Any]
    made: Any = None
    error: BaseException | None = None


class MediaThreads:
    """A pool of threads for one event loop, which must outlive them.

    Args:
        count: of threads.
        loop: where their results are awaited.
    """

    def __init__(self, count: int, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._todo: SimpleQueue[_Job | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._made: list[_Job] = []
        self._since_s = 0.0  # when the first of them was made
        self._threads = [
            threading.Thread(target=self._make, name=f"media-{number}", daemon=True)
            for number in range(count)
        ]
        for thread in self._threads:
            thread.start()

    async def run(self, work: Callable[..., T], *arguments: Any) -> T:
        """Return what `work` returns, or raise what it raises, in one of the threads."""
        future: asyncio.Future[T] = self._loop.create_future()
        self._todo.put(_Job(lambda: work(*arguments), future))
        return await future

    def close(self) -> None:
        """Finish what was asked for and end the threads; nobody waits for it any more."""
        for _ in self._threads:
            self._todo.put(None)
        for thread in self._threads:
            thread.join()

    def _make(self) -> None:
        while (job := self._todo.get()) is not None:
            # Whoever wanted it may be gone by the time that it is its turn.
            if not job.future.cancelled():
                try:
                    job.made = job.work()
                except BaseException as error:  # raised again where the job is awaited
                    job.error = error
            # One that was left out may be the last that others wait for.
            self._give(job)

    def _give(self, job: _Job) -> None:
        now_s = time.monotonic()
        with self._lock:
            if not self._made:
                self._since_s = now_s
            self._made.append(job)
            waits = len(self._made) < _TOGETHER and now_s - self._since_s < _WAIT_S
            if waits and not self._todo.empty():
                return
            made, self._made = self._made, []
        self._loop.call_soon_threadsafe(_hand_back, made)


def _hand_back(made: list[_Job]) -> None:
    for job in made:
        if job.future.done():  # cancelled while it was made
            continue
        if job.error is not None:
            job.future.set_exception(job.error)
        else:
            job.future.set_result(job.made)
