"""Runs one step of the flow, shard by shard, in this process: read, stages in threads, commit. No Ray."""

from __future__ import annotations

import gc
import queue
import threading
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol, Self, runtime_checkable

from pipelines.compute import timing
from pipelines.run.records import ShardLog, open_shard_log
from pipelines.stage import Batch, Stage, Work
from pipelines.store.shards import Shard

# Batches that may wait between two stages: one being made while one is being used, and one spare.
_QUEUED = 2


class Step(Protocol):
    """A chain of stages over a shard: where its rows come from, what is done, where they go. Picklable."""

    @property
    def name(self) -> str:
        """The word for it in progress."""
        ...

    def is_done(self, shard: Shard) -> bool:
        """Return whether the output of a shard is committed."""
        ...

    def make_stages(self, shard: Shard) -> Sequence[Stage]:
        """Return the chain for a shard's kind."""
        ...

    def read(self, shard: Shard) -> Iterator[Batch]:
        """Yield the shard's rows, batch by batch."""
        ...

    def commit(self, shard: Shard, batches: Iterable[Batch], started: float) -> None:
        """Write what the last stage made, marker last. `started` is `time.time()` at the beginning."""
        ...

    def count_outcomes(self, shard: Shard) -> Counter[str]:
        """Return the outcomes of a committed shard, by `outcome/reason`."""
        ...

    def find_committed(self, shards: Collection[int]) -> frozenset[int]:
        """Return which of these shards have their output committed, from one listing."""
        ...


@runtime_checkable
class ShardStream(Protocol):
    """Work that is quicker where it sees the batches of a shard one after the other."""

    def process(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """Yield what becomes of each batch, in order; a few may be taken before the first is given."""
        ...


@dataclass
class Runner:
    """Runs one step shard by shard. Opens each stage once; shards may come from several threads."""

    step: Step
    _open: dict[Stage, Work] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _busy: int = 0
    _idle: threading.Condition = field(default_factory=threading.Condition)

    def run(self, shard: Shard, folder: str = "") -> bool:
        """Commit the step's output of a shard; return False if it was there already.

        Args:
            shard: which.
            folder: URL of the folder for its log; no log is kept without one.
        """
        if self.step.is_done(shard):
            return False
        with self._counted(), open_shard_log(folder, self.step.name, shard) as log:
            self._run(shard, log)
        return True

    def wait_idle(self, within_s: float) -> bool:
        """Wait until no thread runs a shard any more, at most so long; return whether that came about."""
        with self._idle:
            return self._idle.wait_for(lambda: self._busy == 0, within_s)

    @contextmanager
    def _counted(self) -> Iterator[None]:
        with self._idle:
            self._busy += 1
        try:
            yield
        finally:
            with self._idle:
                self._busy -= 1
                self._idle.notify_all()

    def _run(self, shard: Shard, log: ShardLog) -> None:
        works = [self._opened(stage) for stage in self.step.make_stages(shard)]
        # Loading libraries and weights is no work of this shard.
        started = time.time()
        batches: Iterator[Batch] = self.step.read(shard)
        with _Threads() as threads:
            for work in works:
                batches = threads.through(work, batches)
            self.step.commit(shard, log.record_rows(batches), started)

    def _opened(self, stage: Stage) -> Work:
        with self._lock:
            if stage not in self._open:
                with timing.measure_time("open"):
                    self._open[stage] = stage.open()
                # Libraries stay, and a collection need not look at their 130,000 objects and more again.
                gc.freeze()
            return self._open[stage]


class _Threads:
    """Runs each stage in a thread of its own, so that decoding overlaps the forward."""

    def __init__(self) -> None:
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def through(self, work: Work, batches: Iterator[Batch]) -> Iterator[Batch]:
        """Return what `work` makes of the batches, at most `_QUEUED` ahead of whoever reads it."""
        pipe = _Pipe(self._over)
        thread = threading.Thread(target=pipe.fill, args=(work, batches), daemon=True)
        self._threads.append(thread)
        thread.start()
        return pipe.take()


class _Pipe:
    """A bounded queue of batches that both of its ends leave once the shard is over."""

    def __init__(self, over: threading.Event) -> None:
        self._over = over
        self._queue: queue.Queue[Batch | BaseException | None] = queue.Queue(_QUEUED)

    def fill(self, work: Work, batches: Iterator[Batch]) -> None:
        try:
            for made in work.process(batches) if isinstance(work, ShardStream) else map(work, batches):
                self._put(made)
                if self._over.is_set():
                    return
        except BaseException as error:  # raised again where the batch is awaited
            self._put(error)
        else:
            self._put(None)

    def _put(self, item: Batch | BaseException | None) -> None:
        while not self._over.is_set():
            try:
                self._queue.put(item, timeout=0.1)
            except queue.Full:
                continue
            return

    def take(self) -> Iterator[Batch]:
        while not self._over.is_set():
            try:
                item = self._queue.get(timeout=0.1)
            except queue.Empty:
                continue
            if item is None:
                return
            if isinstance(item, BaseException):
                raise item
            yield item
