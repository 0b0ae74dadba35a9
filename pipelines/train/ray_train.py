"""Trains any task with Ray Train: workers, resume after a kill, exports into the root.

Ray restarts a killed worker, and the trainer goes on from its last checkpoint below ROOT/runs/; after a
killed driver the same command does.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.errors import EcholensError, StopJob
from pipelines.store.cards import write_card
from pipelines.store.json_file import read_mapping
from pipelines.store.library_files import get_local_path, make_arrow_filesystem
from pipelines.store.root import Root
from pipelines.train.checkpoints import read_curves
from pipelines.train.task import Task
from schemas.recipe import Recipe
from schemas.training import Resources

if TYPE_CHECKING:
    import torch

    from pipelines.train.distributed import WorkerGroup

# The result of a training: {"trained": names}, or {"stop": sentence}.
_RESULT = "ended.json"
_POLL_S = 5.0
# Restarts of a killed worker; each costs at most the steps since the last checkpoint.
_MAX_FAILURES = 5


@dataclass(frozen=True)
class TrainingRun:
    """All that a group of workers needs to train a task. Picklable.

    Attributes:
        root: that the run and its exports lie in.
        name: of what is trained.
        task: that is trained.
        recipe: how.
        resources: workers, their cores and GPUs.
    """

    root: Root
    name: str
    task: Task
    recipe: Recipe
    resources: Resources

    @cached_property
    def folder(self) -> str:
        """The folder of the run, with a hash of task and recipe: the same training resumes there.

        Computed by the driver alone, before it is pickled: a task may describe itself otherwise once opened.
        """
        recipe = [self.recipe.describe(), self.recipe.steps, self.recipe.epochs]
        content = json.dumps([self.task.describe(), recipe], sort_keys=True)
        return f"runs/train-{self.name}-{hashlib.sha256(content.encode()).hexdigest()[:8]}"

    def get_part(self, number: int) -> Root:
        """Return the folder of a part that trains side by side with others."""
        return self.root.enter(f"{self.folder}/{number}")


def train(run: TrainingRun, on_progress: Callable[[dict[str, Any]], None]) -> list[str]:
    """Train on the connected Ray cluster, and return the names of what was trained.

    Args:
        run: what to train, and where.
        on_progress: called from another thread, at most every 5 s, with the curves of the slowest part.

    Raises:
        StopJob: a worker stopped with an error, or was killed too often.
    """
    import ray.train
    from ray.train.torch import TorchTrainer

    own, root = run.resources, run.root
    resources = {"CPU": float(own.cpus_per_worker)} | (
        {"GPU": own.gpus_per_worker} if own.gpus_per_worker else {}
    )
    trainer = TorchTrainer(
        _run_worker,
        train_loop_config={"run": run},
        scaling_config=ray.train.ScalingConfig(
            num_workers=own.workers, use_gpu=own.gpus_per_worker > 0, resources_per_worker=resources
        ),
        run_config=ray.train.RunConfig(
            name=run.folder.partition("/")[2],
            failure_config=ray.train.FailureConfig(max_failures=_MAX_FAILURES),
            storage_path=root.get_path("runs"),
            storage_filesystem=make_arrow_filesystem(root),
        ),
    )
    result = f"{run.folder}/{_RESULT}"
    root.write_json(result, {})
    try:
        with _watch_curves(run, on_progress):
            trainer.fit()
    except ray.train.TrainingFailedError as error:
        if "stop" in (content := read_mapping(root, result, "run the command again")):
            raise StopJob(content["stop"]) from error
        raise StopJob(
            f"training of {run.name!r} was broken off ({_get_last_line(error)}); "
            "nothing is lost, run the command again"
        ) from error
    content = read_mapping(root, result, "run the command again")
    if "stop" in content:
        raise StopJob(content["stop"])
    trained: list[str] = content["trained"]
    return trained


@contextmanager
def _watch_curves(run: TrainingRun, on_progress: Callable[[dict[str, Any]], None]) -> Iterator[None]:
    """Poll the curves during the block: workers may be on any node."""
    over = threading.Event()

    def watch() -> None:
        before: dict[str, Any] = {}
        while not over.wait(_POLL_S):
            curves = _find_slowest(run)
            if curves is not None and curves != before:
                on_progress(curves)
                before = curves

    thread = threading.Thread(target=watch, name="curves", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _find_slowest(run: TrainingRun) -> dict[str, Any] | None:
    found = [read_curves(run.get_part(number)) for number in range(run.resources.cpus_per_worker)]
    return min((curves for curves in found if curves), key=lambda each: int(each["step"]), default=None)


def _get_last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


def _run_worker(config: dict[str, Any]) -> None:
    from ray.train.torch import get_device

    from pipelines.train.distributed import WorkerGroup

    run: TrainingRun = config["run"]
    group = WorkerGroup.from_distributed()
    try:
        trained = train_parts(run, group, get_device())
    except Exception as error:
        # Ray's wrapping loses the class of an exception, so the sentence travels in a file. An error of other
        # classes may come of a peer that was killed: then Ray restarts all.
        if isinstance(error, EcholensError) or group.size == 1:
            sentence = str(error) if isinstance(error, EcholensError) else _format_fault(run, error)
            run.root.write_json(f"{run.folder}/{_RESULT}", {"stop": sentence})
        # The other workers wait for this one.
        if group.size > 1:
            raise
    else:
        if group.rank == 0:
            run.root.write_json(f"{run.folder}/{_RESULT}", {"trained": trained})


def _format_fault(run: TrainingRun, error: Exception) -> str:
    at = traceback.extract_tb(error.__traceback__)[-1]
    reason = " ".join(str(error).split())[:300]
    return (
        f"task {type(run.task).__name__} fails ({type(error).__name__}: {reason}, in line {at.lineno} of "
        f"{at.filename}); mend it, and run the command again"
    )


def train_parts(run: TrainingRun, group: WorkerGroup, device: torch.device) -> list[str]:
    """Train as one of the workers; the first of them exports, and returns the names of what was trained.

    A worker that is alone on a CPU trains the independent parts of a task in threads, a core each.

    Args:
        run: what to train.
        group: the workers.
        device: of this worker.
    """
    import torch

    from pipelines.train.trainer import Trainer, train_side_by_side

    cores = run.resources.cpus_per_worker
    alone = group.size == 1 and device.type == "cpu"
    parts = run.task.divide(cores) if alone else (run.task,)
    torch.set_num_threads(max(1, cores // len(parts)))
    with ExitStack() as opened:
        caches = opened.enter_context(_open_caches(run, group))
        trainers = []
        for number, part in enumerate(parts):
            opened.callback(part.close)
            place = run.get_part(number)
            trainers.append(
                Trainer(part, run.recipe, place, name=run.name, caches=caches, group=group, device=device)
            )
        with parts[0].make_process_context():
            train_side_by_side(trainers)
        return _export(run, trainers) if group.rank == 0 else []


@contextmanager
def _open_caches(run: TrainingRun, group: WorkerGroup) -> Iterator[Path]:
    """Yield this worker's folder for caches: below the run, which outlives a kill, if the root is here."""
    if run.root.is_local:
        folder = get_local_path(run.root, f"{run.folder}/caches/{group.rank}of{group.size}")
        folder.mkdir(parents=True, exist_ok=True)
        yield folder
    else:
        with tempfile.TemporaryDirectory(prefix="echolens-") as scratch:
            yield Path(scratch)


def _export(run: TrainingRun, trainers: Sequence[Any]) -> list[str]:
    names = []
    for trainer in trainers:
        with tempfile.TemporaryDirectory(prefix="echolens-") as scratch:
            for card in trainer.export(Path(scratch)):
                write_card(run.root, trainer.task.stored_in, card, Path(scratch) / card.name)
                names.append(card.name)
    return names
