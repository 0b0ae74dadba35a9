r"""One Ray Data plan: a row is a shard, a step is a pool of actors, and every step commits its own output.

    web shards     -> fetch pool  ---\
    limited shards -> fetch pools ----+-- union --> encode pool -> progress
    text, fetched  -------------------/

A row carries a shard's number and counts, never media: each step reads what the previous one committed.
Committed output is never computed again, so a plan that was killed is resumed by starting it again.
"""

from __future__ import annotations

import json
import logging
import math
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, redirect_stdout
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self, TypeVar

from pipelines.compute import cpu, timing
from pipelines.errors import EcholensError, StopJob
from pipelines.fetch.ratelimit.governor import count_rows, watch_traffic
from pipelines.fetch.ratelimit.traffic import Traffic
from pipelines.fetch.worker_pools import make_pools
from pipelines.run import records
from pipelines.run.ray_cluster import run_ray
from pipelines.run.runner import Runner, Step
from pipelines.store.shards import Shard

if TYPE_CHECKING:
    from ray.data import ActorPoolStrategy, Dataset


T = TypeVar("T")

# Grace period for in-flight writes of other shards before a worker that stops the job exits.
_IDLE_TIMEOUT_S = 5


@dataclass(frozen=True)
class ShardResult:
    """Outcomes and times of a shard that is done, as the driver receives them."""

    shard: Shard
    outcomes: dict[str, int]
    seconds: dict[str, float]


@dataclass(frozen=True)
class PlanSteps:
    """The steps of a plan, and the number of workers of each.

    Attributes:
        then: the step that follows the fetch.
        fetch: the step that fetches media; None if every shard has them already.
        workers: of `then`; None for what the cluster offers.
        fetch_workers: of `fetch`; None for what the cluster offers.
    """

    then: Step
    fetch: Step | None = None
    workers: int | None = None
    fetch_workers: int | None = None


class Session:
    """A context with a Ray cluster: the one that RAY_ADDRESS names, or a local one.

    It is started on first use, so a run with nothing left to do starts none. Nested sessions share the
    cluster of the outermost one, which shuts it down.
    """

    _depth: ClassVar[int] = 0
    _ray: ClassVar[ExitStack] = ExitStack()
    _runs: ClassVar[bool] = False

    def __init__(self) -> None:
        self._started = False
        self._open = ExitStack()

    def __enter__(self) -> Self:
        Session._depth += 1
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()
        Session._depth -= 1
        if Session._runs and Session._depth == 0:
            Session._runs = False
            with redirect_stdout(sys.stderr):
                Session._ray.close()

    def run(
        self,
        steps: PlanSteps,
        remaining: Remaining,
        on_done: Callable[[ShardResult], None],
        on_traffic: Callable[[Traffic], None] | None = None,
    ) -> None:
        """Run the steps on the remaining shards; with none, Ray is not started.

        Args:
            steps: of the plan.
            remaining: from `find_remaining`.
            on_done: called once for each shard, when it is done.
            on_traffic: called every second or two, from another thread, with the traffic of the workers.

        Raises:
            StopJob: a worker found that going on would lose rows.
        """
        if not any(remaining):
            return
        self.start()
        with watch_traffic(on_traffic):
            for row in _make_dataset(steps, remaining).iter_rows():
                if row["stop"]:
                    raise StopJob(row["stop"])
                on_done(
                    ShardResult(_parse_shard(row), json.loads(row["outcomes"]), json.loads(row["seconds"]))
                )

    def run_task(self, function: Callable[[], T]) -> T:
        """Run a function as one Ray task with all cores of a node, and return its result."""
        self.start()
        import ray

        nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
        cpus = max(float(node["Resources"].get("CPU", 0)) for node in nodes if node["Alive"])
        task: Any = ray.remote(num_cpus=cpus)(_return_errors)
        result: T | EcholensError = ray.get(task.remote(function))
        if isinstance(result, EcholensError):
            raise result
        return result

    def start(self) -> None:
        """Start Ray if it is not running; `run` and `run_task` do so themselves."""
        if not self._started:
            # Ray prints failures of workers to stdout, which is reserved for a job's results.
            self._open.enter_context(redirect_stdout(sys.stderr))
            self._started = True
        if not Session._runs:
            Session._ray.enter_context(run_ray())
            _configure_ray_data()
            Session._runs = True


class Remaining(NamedTuple):
    """The shards of a plan that are not done.

    Attributes:
        ready: whose media are there.
        web: to fetch, from hosts without a limit.
        limited: to fetch, from hosts with a limit.
    """

    ready: list[Shard]
    web: list[Shard]
    limited: list[Shard]

    @property
    def rows(self) -> int:
        """The number of rows of all shards."""
        return sum(shard.rows for shards in self for shard in shards)


def find_remaining(steps: PlanSteps, shards: Sequence[Shard]) -> Remaining:
    """Return the shards that are not done, from one listing of each step's output."""
    done = steps.then.find_committed([shard.number for shard in shards])
    # A shard with vectors has media: a run with nothing left to do opens no file of any shard.
    pending = [shard for shard in shards if shard.number not in done]
    if steps.fetch is None:
        return Remaining(pending, [], [])
    fetched = steps.fetch.find_committed([shard.number for shard in pending])
    ready: list[Shard] = []
    web: list[Shard] = []
    limited: list[Shard] = []
    for shard in pending:
        if shard.kind == "text" or shard.number in fetched:
            ready.append(shard)
        else:
            (web if shard.lane in ("web", "local") else limited).append(shard)
    return Remaining(ready, web, limited)


def _make_dataset(steps: PlanSteps, remaining: Remaining) -> Dataset:
    """Return the lazy Ray dataset that runs the steps; its rows are shards."""
    import ray

    ready, web, limited = remaining

    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    cpus, gpus = int(resources.get("CPU", 1)), int(resources.get("GPU", 0))
    branches = [_make_rows(ready)] if ready else []
    fetch_cpus = 0.0
    for each in make_pools(web, limited, cpus, steps.fetch_workers):
        assert steps.fetch is not None
        strategy = ray.data.ActorPoolStrategy(
            size=each.workers,
            # No shard queues in a worker: the first worker to start would get those that others could begin.
            max_tasks_in_flight_per_actor=each.in_flight,
            max_concurrent_calls_per_actor=each.in_flight,
            enable_true_multi_threading=True,
        )
        fetch_cpus += each.cpus_each * each.workers
        branches.append(_map_step(_make_rows(each.shards), steps.fetch, strategy, num_cpus=each.cpus_each))
    workers = min(steps.workers or max(1, gpus), len(ready) + len(web) + len(limited))
    # Two shards in flight: rows of one fill the batches that the last rows of the other leave half empty.
    pool = ray.data.ActorPoolStrategy(
        size=workers,
        max_tasks_in_flight_per_actor=4,
        max_concurrent_calls_per_actor=2,
        enable_true_multi_threading=True,
    )
    rows = branches[0].union(*branches[1:]) if len(branches) > 1 else branches[0]
    share = _share_cpus(workers, fetch_cpus)
    # Ray Data takes either; a worker with a GPU decodes with as many threads as one without would.
    needs: dict[str, float] = {"num_gpus": 1} if gpus else {"num_cpus": int(share)}
    return _map_step(rows, steps.then, pool, math.ceil(share), **needs)


def _share_cpus(workers: int, taken: float) -> float:
    """Return the CPUs of each encode worker, of those that are not taken.

    On several nodes at most half of a node's, so that a node with fetch workers has room for one.
    """
    import ray

    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    cpus = [float(node["Resources"].get("CPU", 0)) for node in nodes if node["Alive"]]
    largest = max(cpus) if len(cpus) == 1 else max(cpus) / 2
    return max(1.0, min((sum(cpus) - taken) / workers, largest))


def _make_rows(shards: Sequence[Shard]) -> Dataset:
    import ray

    rows = [
        asdict(shard) | {"outcomes": "{}", "seconds": "{}", "stop": "", "log": records.get_log_folder()}
        for shard in shards
    ]
    return ray.data.from_items(rows, override_num_blocks=len(rows))


def _map_step(rows: Dataset, step: Step, pool: ActorPoolStrategy, threads: int = 1, **needs: Any) -> Dataset:
    return rows.map_batches(_Actor, fn_constructor_args=(step, threads), batch_size=1, compute=pool, **needs)


def _parse_shard(row: Mapping[str, Any]) -> Shard:
    return Shard(int(row["number"]), row["kind"], row["lane"], int(row["rows"]))


class _Actor:
    """A Ray Data worker: runs a step on rows that are shards, and returns them with outcomes and times."""

    def __init__(self, step: Step, threads: int) -> None:
        cpu.limit_cpus(threads)
        self.runner = Runner(step)

    def __call__(self, columns: dict[str, Any]) -> dict[str, Any]:
        row = {name: values[0] for name, values in columns.items()}
        shard = _parse_shard(row)
        if not row["stop"]:
            try:
                self.runner.run(shard, row["log"])
            except EcholensError as error:
                # Ray's wrapping of exceptions loses the class; the message, as a value, is kept.
                row["stop"] = str(error)
                self.runner.wait_idle(_IDLE_TIMEOUT_S)
            else:
                outcomes = self.runner.step.count_outcomes(shard)
                count_rows(self.runner.step.name, outcomes)
                row["outcomes"] = json.dumps(outcomes)
                row["seconds"] = json.dumps(Counter(json.loads(row["seconds"])) + Counter(timing.drain()))
        return {name: [value] for name, value in row.items()}


def _return_errors(function: Callable[[], T]) -> T | EcholensError:
    try:
        return function()
    except EcholensError as error:
        # Ray's wrapping of exceptions loses the class; as a value it is kept.
        return error


def _configure_ray_data() -> None:
    from ray.data import DataContext

    context = DataContext.get_current()
    context.enable_progress_bars = False
    # Ray Data would scan all memory pages of a worker once a second for every shard in flight.
    context.memory_usage_poll_interval_s = None
    # A worker may wait for a slow host longer than Ray's limit; the fetch has deadlines of its own.
    context.execution_no_progress_timeout_s = -1
    # A worker that is killed while it loads weights is restarted, up to this many times in a row.
    context.max_consecutive_actor_init_deaths = 3
    logging.getLogger("ray.data").setLevel(logging.ERROR)
