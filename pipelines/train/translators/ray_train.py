"""Runs a training job with Ray Train: workers, checkpoints, resume after a kill.

Every epoch ends in a checkpoint below ROOT/runs/. Ray restarts a killed worker from the last one; after a
killed driver the same command does.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

from pipelines.errors import ConfigError, EcholensError, StopJob, StorageError
from pipelines.train.translators.job import TrainingJob
from pipelines.translate.translator import read_card
from schemas.translator_card import TranslatorCard

if TYPE_CHECKING:
    from pipelines.train.translators.stacked import StackedNets

# The result of a training: {"translators": names}, or {"stop": sentence}.
_RESULT = "ended.json"
# Every epoch so far: number, seconds, experiment -> validation cosine.
_CURVES = "curves.json"
_POLL_S = 5.0
# Restarts of a killed worker; each costs at most an epoch.
_MAX_FAILURES = 5


def train(job: TrainingJob, on_epoch: Callable[[int], None]) -> list[TranslatorCard]:
    """Run a job on the connected Ray cluster; return the cards of its experiments and baselines.

    Args:
        job: what to train, on which data.
        on_epoch: called from another thread, at most every 5 s, with the number of completed epochs.

    Raises:
        StopJob: a worker stopped with an error, or was killed too often.
    """
    import pyarrow.fs
    import ray.train
    from ray.train.torch import TorchTrainer

    fit = job.training.fit
    resources = {"CPU": float(fit.cpus_per_worker)} | (
        {"GPU": fit.gpus_per_worker} if fit.gpus_per_worker else {}
    )
    handler = pyarrow.fs.FSSpecHandler(job.root.fs)
    trainer = TorchTrainer(
        _run_worker,
        train_loop_config={"job": job},
        scaling_config=ray.train.ScalingConfig(
            num_workers=fit.workers, use_gpu=fit.gpus_per_worker > 0, resources_per_worker=resources
        ),
        run_config=ray.train.RunConfig(
            name=_make_run_name(job),
            failure_config=ray.train.FailureConfig(max_failures=_MAX_FAILURES),
            checkpoint_config=ray.train.CheckpointConfig(num_to_keep=2),
            storage_path=job.root.get_path("runs"),
            storage_filesystem=None if job.root.is_local else pyarrow.fs.PyFileSystem(handler),
        ),
    )
    result = f"runs/{_make_run_name(job)}/{_RESULT}"
    job.root.write_json(result, {})
    try:
        with _watch_epochs(job, on_epoch):
            trainer.fit()
    except ray.train.TrainingFailedError as error:
        raise StopJob(
            f"training on {job.data!r} was broken off ({_get_last_line(error)}); "
            "nothing is lost, run the command again"
        ) from error
    content = json.loads(job.root.read(result))
    if "stop" in content:
        raise StopJob(content["stop"])
    return [read_card(job.root, name) for name in content["translators"]]


@contextmanager
def _watch_epochs(job: TrainingJob, on_epoch: Callable[[int], None]) -> Iterator[None]:
    """Poll the curves file for completed epochs during the block: workers may be on any node."""
    over = threading.Event()

    def watch() -> None:
        curves, before = f"runs/{_make_run_name(job)}/{_CURVES}", 0
        while not over.wait(_POLL_S):
            done = len(json.loads(job.root.read(curves))) if job.root.exists(curves) else 0
            if done != before:
                on_epoch(done)
                before = done

    thread = threading.Thread(target=watch, name="epochs", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _get_last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


def _make_run_name(job: TrainingJob) -> str:
    """Return the run folder's name, with a hash of preset, data and version: the same job resumes there."""
    preset = job.training.model_dump(mode="json", by_alias=True)
    content = json.dumps([preset, job.data, job.version], sort_keys=True).encode()
    return f"train-{job.training.name}-{job.data}-{hashlib.sha256(content).hexdigest()[:8]}"


def _run_worker(config: dict[str, Any]) -> None:
    job: TrainingJob = config["job"]
    try:
        for epoch, state in _train_epochs(job):
            _report(epoch, state)
    except EcholensError as error:
        # Ray's wrapping loses the class of an exception, so the sentence travels in a file.
        job.root.write_json(f"runs/{_make_run_name(job)}/{_RESULT}", {"stop": str(error)})


def _train_epochs(job: TrainingJob) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield each epoch's number and the state after it; then score and save the nets."""
    import torch
    from ray.train.torch import get_device

    from pipelines.train.distributed import WorkerGroup
    from pipelines.train.translators.epochs import balance_groups, run_epochs
    from pipelines.train.translators.stacked import StackedNets

    workers, fit, device = WorkerGroup.from_distributed(), job.training.fit, str(get_device())
    alone = workers.size == 1 and device == "cpu"
    groups = balance_groups(job.experiments, fit.cpus_per_worker if alone else 1)
    torch.set_num_threads(max(1, fit.cpus_per_worker // len(groups)))
    with tempfile.TemporaryDirectory(prefix="echolens-") as scratch:
        table = job.read(Path(scratch))
        dims = (table.source_space.dims, table.target_space.dims)
        stacks = [StackedNets(experiments, dims, fit, device) for experiments in groups]
        curves, done = _resume(stacks, torch)
        began = time.monotonic()
        for epoch in run_epochs(stacks, table, workers, done):
            curves.append({"epoch": epoch.number, "seconds": epoch.seconds, "cosines": epoch.cosines})
            if workers.rank == 0:
                job.root.write_json(f"runs/{_make_run_name(job)}/{_CURVES}", curves)
            state = {"lanes": [stack.snapshot() for stack in stacks], "curves": curves, "epoch": epoch.number}
            yield epoch.number, state
        if workers.rank == 0:
            nets = chain(_select_nets(stacks), _solve_baselines(job.data, table))
            cosines = {
                each.name: [epoch["cosines"][each.name] for epoch in curves] for each in job.experiments
            }
            cards = job.finish(table, nets, time.monotonic() - began, cosines)
            result = {"translators": [card.name for card in cards]}
            job.root.write_json(f"runs/{_make_run_name(job)}/{_RESULT}", result)


def _resume(stacks: Sequence[StackedNets], torch: Any) -> tuple[list[dict[str, Any]], int]:
    """Restore nets from the last checkpoint; return the curves and the number of completed epochs.

    Raises:
        StorageError: the checkpoint cannot be read.
        ConfigError: it is of other nets.
    """
    import ray.train

    if (checkpoint := ray.train.get_checkpoint()) is None:
        return [], 0
    with checkpoint.as_directory() as folder:
        try:
            state = torch.load(Path(folder) / "state.pt", weights_only=True)
        except (RuntimeError, EOFError, OSError, UnpicklingError) as error:
            reason = str(error).splitlines()[0]
            raise StorageError(
                f"checkpoint {checkpoint.path} is damaged ({reason}); remove it, and run the command again"
            ) from error
    if len(saved := state.get("lanes", ())) != len(stacks):
        raise ConfigError(
            f"checkpoint {checkpoint.path} is of {len(saved)} lanes and the preset asks for {len(stacks)}; "
            "remove its folder, and run the command again"
        )
    for stack, before in zip(stacks, saved, strict=True):
        stack.restore(before)
    return state["curves"], state["epoch"]


def _select_nets(stacks: Sequence[StackedNets]) -> Iterator[Any]:
    for stack in stacks:
        for experiment, net, epoch, cosine in stack.select_nets():
            yield experiment, experiment.name, net.cpu(), epoch, cosine


def _solve_baselines(data: str, table: Any) -> Iterator[Any]:
    import torch

    from pipelines.train.translators.baselines import BASELINES, Moments, solve
    from pipelines.train.translators.pairs import VALIDATION

    moments = Moments(table)
    source_NI, target_NO = (
        torch.from_numpy(side) for side in table.get_pairs(table.find_rows(VALIDATION)[:10_000])
    )
    for name in BASELINES:
        net = solve(name, table, moments)
        with torch.inference_mode():
            cosine = float((net.translate(source_NI)[0] * target_NO).sum(-1).mean())
        yield None, f"{data}-{name}", net, 0, cosine


def _report(epoch: int, state: dict[str, Any]) -> None:
    import ray.train
    import torch

    if ray.train.get_context().get_world_rank() != 0:
        ray.train.report({"epoch": epoch})
        return
    with tempfile.TemporaryDirectory(prefix="echolens-") as folder:
        torch.save(state, Path(folder) / "state.pt")
        ray.train.report({"epoch": epoch}, checkpoint=ray.train.Checkpoint.from_directory(folder))
