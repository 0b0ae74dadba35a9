"""The part of a build that img2dataset does as well: plan and fetch, on the real engine, without vectors.

python tests/bench/fetch_only.py FILE.yaml SECONDS.json
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

from jobs.shared.dataset_build import make_media_step
from jobs.shared.job import load
from pipelines.run.ray_plan import PlanSteps, Session, ShardResult, find_remaining
from pipelines.source.plan import make_plan
from pipelines.stage import Batch, Stage
from pipelines.store.root import Root
from pipelines.store.shards import Shard, list_planned


class Nothing:
    """In place of encode: whatever has media is through."""

    name = "nothing"

    def find_committed(self, shards: Collection[int]) -> frozenset[int]:
        return frozenset()

    def is_done(self, shard: Shard) -> bool:
        return True

    def make_stages(self, shard: Shard) -> Sequence[Stage]:
        return ()

    def read(self, shard: Shard) -> Iterator[Batch]:
        return iter(())

    def commit(self, shard: Shard, batches: Iterable[Batch], started: float) -> None:
        pass

    def count_outcomes(self, shard: Shard) -> Counter[str]:
        return Counter()


def main(file: str, seconds: str) -> None:
    dataset = load(file)
    root = Root.from_url(dataset.root)
    make_plan(dataset, root)
    spent: Counter[str] = Counter()

    def through(done: ShardResult) -> None:
        spent.update(done.seconds)

    steps = PlanSteps(Nothing(), make_media_step(dataset, root), fetch_workers=dataset.fetch.workers)
    with Session() as session:
        session.run(steps, find_remaining(steps, list_planned(root)), through)
    Path(seconds).write_text(json.dumps(spent))


if __name__ == "__main__":
    main(*sys.argv[1:])
