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

# Batches queued between two stages: one ready while another is worked on, and one spare.
_QUEUE_SIZE = 2


class Step(Protocol):
    """A chain of stages over a shard, with its input and its output. Picklable."""

    @property
    def name(self) -> str:
        """Its name in progress and logs."""
        ...

    def is_done(self, shard: Shard) -> bool:
        """Return whether the output of a shard is committed."""
        ...

    def make_stages(self, shard: Shard) -> Sequence[Stage]:
        """Return the chain of stages for a shard's kind."""
        ...

    def read(self, shard: Shard) -> Iterator[Batch]:
        """Yield the shard's rows in batches."""
        ...

    def commit(self, shard: Shard, batches: Iterable[Batch], started: float) -> None:
        """Write the output of the last stage, the marker last; `started` is from `time.time()`."""
        ...

    def count_outcomes(self, shard: Shard) -> Counter[str]:
        """Return the outcomes of a committed shard, by `outcome/reason`."""
        ...

    def find_committed(self, shards: Collection[int]) -> frozenset[int]:
        """Return which of these shards have their output committed, from one listing."""
        ...


@runtime_checkable
class ShardStream(Protocol):
    """Work over a stream of batches, for stages that fill their batches from several of them."""

    def process(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """Yield the output of each batch, in order; several may be read before the first is yielded."""
        ...


@dataclass
class Runner:
    """Runs one step, shard by shard. Opens each stage once; several threads may run shards at once."""

    step: Step
    _open: dict[Stage, Work] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _busy: int = 0
    _idle: threading.Condition = field(default_factory=threading.Condition)

    def run(self, shard: Shard, folder: str = "") -> bool:
        """Commit the step's output of a shard; return False if it was committed already.

        Args:
            shard: which.
            folder: URL of the folder for its log; empty for no log.
        """
        if self.step.is_done(shard):
            return False
        with self._count_busy(), open_shard_log(folder, self.step.name, shard) as log:
            self._run(shard, log)
        return True

    def wait_idle(self, timeout_s: float) -> bool:
        """Wait until no thread runs a shard; return False on timeout."""
        with self._idle:
            return self._idle.wait_for(lambda: self._busy == 0, timeout_s)

    @contextmanager
    def _count_busy(self) -> Iterator[None]:
        with self._idle:
            self._busy += 1
        try:
            yield
        finally:
            with self._idle:
                self._busy -= 1
                self._idle.notify_all()

    def _run(self, shard: Shard, log: ShardLog) -> None:
        works = [self._get_work(stage) for stage in self.step.make_stages(shard)]
        # Loading libraries and weights does not count as work of this shard.
        started = time.time()
        batches: Iterator[Batch] = self.step.read(shard)
        with _StageThreads() as threads:
            for work in works:
                batches = threads.start(work, batches)
            self.step.commit(shard, log.record_rows(batches), started)

    def _get_work(self, stage: Stage) -> Work:
        with self._lock:
            if stage not in self._open:
                with timing.measure_time("open"):
                    self._open[stage] = stage.open()
                # Objects of libraries (130,000 and more) stay: garbage collections need not traverse them.
                gc.freeze()
            return self._open[stage]


class _StageThreads:
    """Runs each stage in a thread of its own, so that decoding overlaps the forward pass."""

    def __init__(self) -> None:
        self._stopped = threading.Event()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def start(self, work: Work, batches: Iterator[Batch]) -> Iterator[Batch]:
        """Start a stage; return its output, computed at most `_QUEUE_SIZE` batches ahead of the reader."""
        pipe = _Pipe(self._stopped)
        thread = threading.Thread(target=pipe.fill, args=(work, batches), daemon=True)
        self._threads.append(thread)
        thread.start()
        return pipe.take()


class _Pipe:
    """A bounded queue of batches; writer and reader leave it once the shard has ended."""

    def __init__(self, stopped: threading.Event) -> None:
        self._stopped = stopped
        self._queue: queue.Queue[Batch | BaseException | None] = queue.Queue(_QUEUE_SIZE)

    def fill(self, work: Work, batches: Iterator[Batch]) -> None:
        try:
            for batch in work.process(batches) if isinstance(work, ShardStream) else map(work, batches):
                self._put(batch)
                if self._stopped.is_set():
                    return
        except BaseException as error:  # raised again in the reader
            self._put(error)
        else:
            self._put(None)

    def _put(self, item: Batch | BaseException | None) -> None:
        while not self._stopped.is_set():
            try:
                self._queue.put(item, timeout=0.1)
            except queue.Full:
                continue
            return

    def take(self) -> Iterator[Batch]:
        while not self._stopped.is_set():
            try:
                item = self._queue.get(timeout=0.1)
            except queue.Empty:
                continue
            if item is None:
                return
            if isinstance(item, BaseException):
                raise item
            yield item
