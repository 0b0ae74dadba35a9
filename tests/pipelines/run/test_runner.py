import threading
import time
from collections import Counter
from dataclasses import dataclass, field

import pytest

from pipelines.run.runner import Runner
from pipelines.store.shards import Shard

SHARD = Shard(0, "image", "web", 6)
# What the rows of every shard have.
ROW = {"key": ["00000000"], "outcome": ["ok"], "reason": [""]}


@dataclass(frozen=True)
class Add:
    """Adds a column that is another one plus one, taking its time."""

    source: str
    column: str
    seconds: float = 0.0
    fails_at: int | None = None
    name: str = "add"

    @property
    def reads(self):
        return frozenset({self.source})

    @property
    def adds(self):
        return frozenset({self.column})

    def open(self):
        def work(batch):
            time.sleep(self.seconds)
            if self.fails_at in batch[self.source]:
                raise RuntimeError(f"at {self.fails_at}")
            return batch | {self.column: [value + 1 for value in batch[self.source]]}

        return work


@dataclass
class Memory:
    """A step that reads numbers and keeps what it is given to commit."""

    chain: tuple
    batches: int = 6
    kept: list = field(default_factory=list)
    name: str = "memory"

    def is_done(self, shard):
        return bool(self.kept)

    def find_committed(self, shards):
        return frozenset(shards if self.kept else ())

    def make_stages(self, shard):
        return self.chain

    def read(self, shard):
        for number in range(self.batches):
            yield ROW | {"n": [number]}

    def commit(self, shard, batches, started):
        self.kept += [{name: batch[name] for name in batch.keys() - ROW.keys()} for batch in batches]

    def count_outcomes(self, shard):
        return Counter(ok=len(self.kept))


def test_rows_come_through_in_order_and_once():
    """Every batch passes every stage in order; a second run finds the output and does nothing."""
    step = Memory((Add("n", "m"), Add("m", "o")))
    runner = Runner(step)

    assert runner.run(SHARD)
    assert [{"n": [n], "m": [n + 1], "o": [n + 2]} for n in range(6)] == step.kept
    assert not runner.run(SHARD)


def test_whoever_stops_can_wait_for_the_others():
    """A shard that another thread is at is waited for, but not for ever."""
    runner = Runner(Memory((Add("n", "m", 0.1),), batches=3))
    other = threading.Thread(target=runner.run, args=(SHARD,))
    idle = runner.wait_idle(0)
    other.start()
    while runner.wait_idle(0):
        time.sleep(0.001)

    assert (True, False) == (idle, runner.wait_idle(0.01))
    assert runner.wait_idle(10)
    assert 3 == len(runner.step.kept)
    other.join()


def test_stages_overlap():
    """Two stages of 50 ms a batch take little more than one of them."""
    step = Memory((Add("n", "m", 0.05), Add("m", "o", 0.05)), batches=12)
    begun = time.perf_counter()
    Runner(step).run(SHARD)

    assert time.perf_counter() - begun < 2 * 12 * 0.05 * 0.85


@pytest.mark.parametrize("place", [0, 1])
def test_an_error_comes_out_and_ends_all_threads(place):
    """An exception in any stage is raised by run, nothing is committed and no thread stays."""
    chain = [Add("n", "m"), Add("m", "o")]
    chain[place] = Add(chain[place].source, chain[place].column, fails_at=3)
    step = Memory(tuple(chain), batches=1000)
    before = threading.active_count()
    with pytest.raises(RuntimeError, match="at 3"):
        Runner(step).run(SHARD)

    assert step.kept == []
    assert before == threading.active_count()


@dataclass(frozen=True)
class Pairs:
    """Takes two batches before it gives the first back, and both again at the end."""

    name: str = "pairs"
    reads: frozenset = frozenset({"m"})
    adds: frozenset = frozenset({"pair"})

    def open(self):
        return self

    def process(self, batches):
        kept = []
        for batch in batches:
            kept.append(batch)
            if len(kept) == 2:
                yield from ({**each, "pair": [sum(other["m"][0] for other in kept)]} for each in kept)
                kept = []


def test_a_stream_sees_several_batches():
    """Work with `process` may take a few batches together; they come out in order."""
    step = Memory((Add("n", "m"), Pairs()))
    Runner(step).run(SHARD)

    assert [(n, 2 * (n // 2 * 2) + 3) for n in range(6)] == [
        (batch["n"][0], batch["pair"][0]) for batch in step.kept
    ]


def test_a_failed_shard_is_not_worked_through():
    """Once a later stage failed, the earlier ones stop reading."""
    read = []

    class Endless(Memory):
        def read(self, shard):
            for batch in super().read(shard):
                read.append(batch)
                yield batch

    step = Endless((Add("n", "m"), Add("m", "o", fails_at=3)), batches=100_000)
    with pytest.raises(RuntimeError, match="at 3"):
        Runner(step).run(SHARD)

    assert len(read) < 1000
