"""Which workers fetch which shards, so that slow hosts hold up no others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from pipelines.store.shards import Shard

# Shards in flight in a worker hide each other's slow tails: 10 of 1,000 rows of the web with a timeout of
# 10 s took 75 s with 4 in flight and 53 s with 8. Fetched media wait in memory for the rest of their shard
# (55 kB a picture, 1 MB a clip), so fewer are in flight where shards are large.
_MAX_IN_FLIGHT, _MIN_IN_FLIGHT = 8, 2
_ROWS_IN_FLIGHT = 8000
_CLIPS_IN_FLIGHT = 400
# A worker of limited hosts mostly waits; it holds 300 MB of libraries all the same.
_LIMITED_WORKERS = 4
_LIMITED_CPUS = 0.1
_WEB_CPUS = 0.5
# CPUs of a cluster that fetching leaves to encoding.
_LEFT_CPUS = 1.0


@dataclass(frozen=True)
class WorkerPool:
    """Shards, with the workers that fetch them."""

    shards: Sequence[Shard]
    workers: int
    cpus_each: float

    @property
    def in_flight(self) -> int:
        """Shards in flight a worker: no more than its share, or the first worker to be ready takes all."""
        most = min(
            (_CLIPS_IN_FLIGHT if shard.kind == "clip" else _ROWS_IN_FLIGHT) // shard.rows
            for shard in self.shards
        )
        fair = -(-len(self.shards) // self.workers)
        return min(max(_MIN_IN_FLIGHT, min(_MAX_IN_FLIGHT, most)), fair)


def make_pools(
    web: Sequence[Shard], limited: Sequence[Shard], cpus: int, workers: int | None
) -> list[WorkerPool]:
    """Return the pools: one of many workers for the web, and one worker for each of the slowest hosts.

    Args:
        web: shards whose hosts have no lane of their own.
        limited: all others; the lanes with the most shards get a worker each, the rest share one.
        cpus: of the cluster.
        workers: for the web; half of the CPUs if None.
    """
    lanes: dict[str, list[Shard]] = {}
    for shard in limited:
        lanes.setdefault(shard.lane, []).append(shard)
    most_first = sorted(lanes.values(), key=len, reverse=True)
    # Where one worker has all shards in flight at once, another would only take memory.
    count = min(_LIMITED_WORKERS, len(lanes), -(-len(limited) // _MAX_IN_FLIGHT))
    shared = [*_interleave(most_first[max(0, count - 1) :])]
    limited_pools = [*most_first[: max(0, count - 1)], *([shared] if shared else [])]
    pools = [WorkerPool(shards, 1, _LIMITED_CPUS) for shards in limited_pools]
    if web:
        size = min(workers or max(1, cpus // 2), len(web))
        room = max(0.1, cpus - _LEFT_CPUS - _LIMITED_CPUS * len(pools))
        pools.insert(0, WorkerPool(web, size, min(_WEB_CPUS, int(100 * room / size) / 100)))
    return pools


def _interleave(lanes: Sequence[Sequence[Shard]]) -> Iterator[Shard]:
    """Yield a shard of each lane, then the next of each, so that several hosts are asked at once."""
    for shards in zip_longest(*lanes):
        yield from (shard for shard in shards if shard is not None)
