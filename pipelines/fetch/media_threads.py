"""Threads that decode beside an event loop, and hand results back to it in batches."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")

# Whenever a thread wakes the loop, the two contend for Python's lock. So results are batched while jobs are
# queued: up to so many, or for so long.
_BATCH = 8
_BATCH_WAIT_S = 0.02


@dataclass(slots=True)
class _Job:
    work: Callable[[], Any]
    future: asyncio.Future[Any]
    result: Any = None
    error: BaseException | None = None


class MediaThreads:
    """A pool of threads for one event loop, which must outlive them.

    Args:
        count: number of threads.
        loop: where results are awaited.
    """

    def __init__(self, count: int, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._queue: SimpleQueue[_Job | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._done: list[_Job] = []
        self._since_s = 0.0  # when the first of them was done
        self._threads = [
            threading.Thread(target=self._work, name=f"media-{number}", daemon=True)
            for number in range(count)
        ]
        for thread in self._threads:
            thread.start()

    async def run(self, work: Callable[..., T], *arguments: Any) -> T:
        """Call `work` in one of the threads, and return or raise what it does."""
        future: asyncio.Future[T] = self._loop.create_future()
        self._queue.put(_Job(lambda: work(*arguments), future))
        return await future

    def close(self) -> None:
        """Finish the queued jobs, whose results nobody awaits any more, and end the threads."""
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while (job := self._queue.get()) is not None:
            # Its row may have been given up while it was queued.
            if not job.future.cancelled():
                try:
                    job.result = job.work()
                except BaseException as error:  # raised again where the job is awaited
                    job.error = error
            # A cancelled job may be the last that a batch waits for.
            self._add_done(job)

    def _add_done(self, job: _Job) -> None:
        now_s = time.monotonic()
        with self._lock:
            if not self._done:
                self._since_s = now_s
            self._done.append(job)
            waits = len(self._done) < _BATCH and now_s - self._since_s < _BATCH_WAIT_S
            if waits and not self._queue.empty():
                return
            done, self._done = self._done, []
        self._loop.call_soon_threadsafe(_set_results, done)


def _set_results(done: list[_Job]) -> None:
    for job in done:
        if job.future.done():  # cancelled while it ran
            continue
        if job.error is not None:
            job.future.set_exception(job.error)
        else:
            job.future.set_result(job.result)
