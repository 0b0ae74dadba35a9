r"""One Ray Data plan: a row is a shard, a step is a pool of actors, and every step commits its own output.

    web shards     -> fetch pool  ---\
    limited shards -> fetch pools ----+-- union --> encode pool -> progress
    text, fetched  -------------------/

A row carries a shard's number and counts, never media: what one step commits, the next one reads. A
committed output is found instead of done again, so a plan that was killed is simply started again.
"""

from __future__ import annotations

import json
import logging
import math
import os
import socket
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self, TypeVar
from urllib.parse import urlsplit

from pipelines.compute import cpu, timing
from pipelines.errors import ConfigError, EcholensError, StopJob
from pipelines.fetch.ratelimit.governor import Traffic, count_rows, watch_traffic
from pipelines.fetch.worker_pools import make_pools
from pipelines.run import records
from pipelines.run.runner import Runner, Step
from pipelines.store.shards import Shard

if TYPE_CHECKING:
    from ray.data import ActorPoolStrategy, Dataset


T = TypeVar("T")

_ANSWERS_WITHIN_S = 10
# A worker that stops the job waits so long for what it writes beside: it would be left half-written.
_ENDS_WITHIN_S = 5


@dataclass(frozen=True)
class ShardResult:
    """What the driver learns of one shard."""

    shard: Shard
    outcomes: dict[str, int]
    seconds: dict[str, float]


@dataclass(frozen=True)
class PlanSteps:
    """The steps of a plan, and how many workers each may have (None: what the cluster offers).

    Attributes:
        then: what is done with a shard whose media are there.
        fetch: what gets the media; None where every shard has them already.
    """

    then: Step
    fetch: Step | None = None
    workers: int | None = None
    fetch_workers: int | None = None


class Session:
    """A Ray cluster for as long as the block lasts: the one RAY_ADDRESS names, or one of our own.

    It is started when something first needs it, so a run that finds everything done starts none. Sessions
    within a session have the same cluster, for as long as the outermost lasts.
    """

    _depth: ClassVar[int] = 0
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
            import ray

            Session._runs = False
            with redirect_stdout(sys.stderr):
                ray.shutdown()

    def run(
        self,
        flow: PlanSteps,
        left: Remaining,
        on_done: Callable[[ShardResult], None],
        on_traffic: Callable[[Traffic], None] | None = None,
    ) -> None:
        """Bring what is left of a plan through the flow; if nothing is, Ray is not started.

        Args:
            flow: the steps.
            left: what `find_remaining` says.
            on_done: called once for each shard, as it gets done.
            on_traffic: told every second or two, from another thread, what the workers are doing.

        Raises:
            StopJob: a worker found that going on would lose rows.
        """
        if not any(left):
            return
        self.start()
        with watch_traffic(on_traffic):
            for row in _plan(flow, left).iter_rows():
                if row["stop"]:
                    raise StopJob(row["stop"])
                on_done(ShardResult(_shard(row), json.loads(row["outcomes"]), json.loads(row["seconds"])))

    def run_task(self, work: Callable[[], T]) -> T:
        """Run a piece of work as one task that has all cores of a node, and return what it returns."""
        self.start()
        import ray

        nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
        cpus = max(float(node["Resources"].get("CPU", 0)) for node in nodes if node["Alive"])
        task: Any = ray.remote(num_cpus=cpus)(_sentences)
        outcome: T | EcholensError = ray.get(task.remote(work))
        if isinstance(outcome, EcholensError):
            raise outcome
        return outcome

    def start(self) -> None:
        """Start Ray, unless it is; what needs it does so by itself."""
        if not self._started:
            # Ray prints what befell its workers to stdout, which is for a job's results alone.
            self._open.enter_context(redirect_stdout(sys.stderr))
            self._started = True
        if not Session._runs:
            _start_ray()
            Session._runs = True


class Remaining(NamedTuple):
    """The shards of a plan that are not through: to encode, to fetch from the web, from limited hosts."""

    ready: list[Shard]
    web: list[Shard]
    limited: list[Shard]

    @property
    def rows(self) -> int:
        """Rows of all of them."""
        return sum(shard.rows for shards in self for shard in shards)


def find_remaining(flow: PlanSteps, shards: Sequence[Shard]) -> Remaining:
    """Return what is left to be done, from one listing of each step's output."""
    done = flow.then.find_committed([shard.number for shard in shards])
    # What has vectors has media: a run with nothing left to do opens no file of any shard.
    left = [shard for shard in shards if shard.number not in done]
    if flow.fetch is None:
        return Remaining(left, [], [])
    fetched = flow.fetch.find_committed([shard.number for shard in left])
    ready: list[Shard] = []
    web: list[Shard] = []
    limited: list[Shard] = []
    for shard in left:
        if shard.kind == "text" or shard.number in fetched:
            ready.append(shard)
        else:
            (web if shard.lane in ("web", "local") else limited).append(shard)
    return Remaining(ready, web, limited)


def _plan(flow: PlanSteps, left: Remaining) -> Dataset:
    import ray

    ready, web, limited = left

    offered: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    cpus, gpus = int(offered.get("CPU", 1)), int(offered.get("GPU", 0))
    branches = [_rows(ready)] if ready else []
    asked_by_fetch = 0.0
    for each in make_pools(web, limited, cpus, flow.fetch_workers):
        assert flow.fetch is not None
        strategy = ray.data.ActorPoolStrategy(
            size=each.workers,
            # None wait in a worker: the first to be ready would get those that others could have begun.
            max_tasks_in_flight_per_actor=each.in_flight,
            max_concurrent_calls_per_actor=each.in_flight,
            enable_true_multi_threading=True,
        )
        asked_by_fetch += each.cpus_each * each.workers
        branches.append(_through(_rows(each.shards), flow.fetch, strategy, num_cpus=each.cpus_each))
    todo = len(ready) + len(web) + len(limited)
    workers = min(flow.workers or max(1, gpus), todo)
    # Two shards in flight: one's rows fill the batches that the other's last rows leave half empty.
    pool = ray.data.ActorPoolStrategy(
        size=workers,
        max_tasks_in_flight_per_actor=4,
        max_concurrent_calls_per_actor=2,
        enable_true_multi_threading=True,
    )
    every = branches[0].union(*branches[1:]) if len(branches) > 1 else branches[0]
    share = _share_of_cpus(workers, asked_by_fetch)
    # Ray Data takes either; a worker with a GPU decodes with as many threads as one without would.
    needs: dict[str, float] = {"num_gpus": 1} if gpus else {"num_cpus": int(share)}
    return _through(every, flow.then, pool, math.ceil(share), **needs)


def _share_of_cpus(workers: int, taken: float) -> float:
    """Return how many CPUs each of the encode workers gets of those that are not taken.

    On several nodes no more than half of one, so that a node that fetches has room for it.
    """
    import ray

    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    cpus = [float(node["Resources"].get("CPU", 0)) for node in nodes if node["Alive"]]
    largest = max(cpus) if len(cpus) == 1 else max(cpus) / 2
    return max(1.0, min((sum(cpus) - taken) / workers, largest))


def _rows(shards: Sequence[Shard]) -> Dataset:
    import ray

    rows = [
        asdict(shard) | {"outcomes": "{}", "seconds": "{}", "stop": "", "log": records.get_log_folder()}
        for shard in shards
    ]
    return ray.data.from_items(rows, override_num_blocks=len(rows))


def _through(rows: Dataset, step: Step, pool: ActorPoolStrategy, threads: int = 1, **needs: Any) -> Dataset:
    return rows.map_batches(_Actor, fn_constructor_args=(step, threads), batch_size=1, compute=pool, **needs)


def _shard(row: Mapping[str, Any]) -> Shard:
    return Shard(int(row["number"]), row["kind"], row["lane"], int(row["rows"]))


class _Actor:
    """A Ray Data worker: takes rows that are shards and gives them back with what became of them."""

    def __init__(self, step: Step, threads: int) -> None:
        cpu.limit_cpus(threads)
        self.runner = Runner(step)

    def __call__(self, columns: dict[str, Any]) -> dict[str, Any]:
        row = {name: values[0] for name, values in columns.items()}
        shard = _shard(row)
        if not row["stop"]:
            try:
                self.runner.run(shard, row["log"])
            except EcholensError as error:
                # The class does not survive Ray's wrapping of exceptions; the sentence, as a value, does.
                row["stop"] = str(error)
                self.runner.wait_idle(_ENDS_WITHIN_S)
            else:
                outcomes = self.runner.step.count_outcomes(shard)
                count_rows(self.runner.step.name, outcomes)
                row["outcomes"] = json.dumps(outcomes)
                row["seconds"] = json.dumps(Counter(json.loads(row["seconds"])) + Counter(timing.drain()))
        return {name: [value] for name, value in row.items()}


def _sentences(work: Callable[[], T]) -> T | EcholensError:
    try:
        return work()
    except EcholensError as error:
        # The class does not survive Ray's wrapping of exceptions; as a value it does.
        return error


def _check_answers(address: str) -> None:
    """Ray itself would try for minutes, and write each time that it did."""
    place = urlsplit(address if "://" in address else f"ray://{address}")
    if place.hostname is None or place.port is None:
        return  # "auto" and "local" are Ray's to find
    try:
        socket.create_connection((place.hostname, place.port), _ANSWERS_WITHIN_S).close()
    except OSError as error:
        raise ConfigError(
            f"no Ray cluster answers at RAY_ADDRESS={address}; "
            "start one there, or unset RAY_ADDRESS to use this machine"
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what Ray's core writes while it starts ("Set ray log level ...") from the terminal."""
    sys.stderr.flush()
    kept = os.dup(2)
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _start_ray() -> None:
    import ray
    from ray.data import DataContext

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    options: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    if address := os.environ.get("RAY_ADDRESS"):
        _check_answers(address)
        ray.init(address, **options)
    else:
        # Its core complains of every actor's arguments; what goes wrong reaches us as an exception.
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
        with _quiet():
            # Two CPUs are the least that both steps fit in; the object store holds rows, never media.
            ray.init(
                "local",
                num_cpus=max(2, cpu.count_available_cpus()),
                object_store_memory=256 * 2**20,
                include_dashboard=False,
                **options,
            )
    context = DataContext.get_current()
    context.enable_progress_bars = False
    # Ray Data would walk all pages of a worker once a second for every shard that it has in flight.
    context.memory_usage_poll_interval_s = None
    # A worker may wait for a slow host longer than Ray would; our own deadlines end it.
    context.execution_no_progress_timeout_s = -1
    # A worker that is killed while it loads weights is started again, up to this many times in a row.
    context.max_consecutive_actor_init_deaths = 3
    logging.getLogger("ray.data").setLevel(logging.ERROR)
