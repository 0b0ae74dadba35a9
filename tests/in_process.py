"""Jobs without Ray, in this process: the same stages, commits and versions, and no workers to start.

For datasets that a test begins with, and for what has nothing to do with who does the work. That a build
ends in the bytes of Ray's is a test of its own.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from subprocess import CompletedProcess
from typing import Self

import pytest

from jobs.demo import write_dataset
from pipelines.compute import timing
from pipelines.fetch.ratelimit.traffic import Traffic
from pipelines.run import ray_plan
from pipelines.run.runner import Runner
from tests.commands import SEED, Built, echolens

_SHARDS_IN_FLIGHT = 8


class SessionHere(ray_plan.Session):
    """Brings a plan through as one worker of each step would."""

    # Not those of `Session`: they would count the depth on this class and close a Ray that a module shares.
    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def start(self) -> None:
        """Start nothing."""
        raise AssertionError("a job in this process asked for Ray")

    def run(
        self,
        steps: ray_plan.PlanSteps,
        remaining: ray_plan.Remaining,
        on_done: Callable[[ray_plan.ShardResult], None],
        on_traffic: Callable[[Traffic], None] | None = None,
    ) -> None:
        """See `Session`; shards that are fetched are begun side by side, so that slow pages are."""
        folder = ray_plan.records.get_log_folder()
        if steps.fetch:
            fetching = Runner(steps.fetch)
            with ThreadPoolExecutor(_SHARDS_IN_FLIGHT) as threads:
                list(
                    threads.map(
                        lambda shard: fetching.run(shard, folder), [*remaining.web, *remaining.limited]
                    )
                )
        runner = Runner(steps.then)
        for shard in (shard for group in remaining for shard in group):
            runner.run(shard, folder)
            on_done(
                ray_plan.ShardResult(
                    shard, dict(steps.then.count_outcomes(shard)), dict(Counter(timing.drain()))
                )
            )

    def run_task(self, function: Callable[[], ray_plan.T]) -> ray_plan.T:
        """See `Session`."""
        return function()


@contextmanager
def here() -> Iterator[None]:
    """Have jobs of this process do their work in it for as long as the block lasts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ray_plan, "Session", SessionHere)
        yield


def job_here(verb: str, *arguments: object, check: bool = True) -> CompletedProcess[str]:
    """Run a command in this process, without Ray."""
    with here():
        return echolens(verb, *arguments, check=check)


def build_world_here(folder: Path, rows: int, base_url: str, *overrides: str, seed: int = SEED) -> Built:
    """Write the world's lists and dataset file, and build it without Ray."""
    file = write_dataset(folder, base_url, rows, seed)
    ended = job_here("build", file, *overrides)
    return Built(file, folder / "data", base_url, ended.stdout)
