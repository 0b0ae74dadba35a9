"""Trains the cells of one data set with Ray Train: workers, checkpoints, and going on after a kill.

Every epoch ends in a checkpoint below ROOT/runs/. A killed worker is started again from the last one; so
is a killed driver, by the same command.
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

# How a training ended: {"translators": names}, or {"stop": sentence}.
_ENDED = "ended.json"
# Every epoch so far: number, seconds, cell -> validation cosine.
_CURVES = "curves.json"
_WATCHED_EVERY_S = 5.0
# A worker may be killed this often; each time it costs at most an epoch.
_KILLS = 5


def train(course: TrainingJob, on_epoch: Callable[[int], None]) -> list[TranslatorCard]:
    """Train a course on the Ray that is running, and return the cards of its cells and baselines.

    Args:
        course: what to train on what.
        on_epoch: told every few seconds, from another thread, how many epochs are behind.

    Raises:
        StopJob: what a worker found wrong, or it was killed too often.
    """
    import pyarrow.fs
    import ray.train
    from ray.train.torch import TorchTrainer

    fit = course.training.fit
    needs = {"CPU": float(fit.cpus_per_worker)} | (
        {"GPU": fit.gpus_per_worker} if fit.gpus_per_worker else {}
    )
    handler = pyarrow.fs.FSSpecHandler(course.root.fs)
    trainer = TorchTrainer(
        _worker,
        train_loop_config={"course": course},
        scaling_config=ray.train.ScalingConfig(
            num_workers=fit.workers, use_gpu=fit.gpus_per_worker > 0, resources_per_worker=needs
        ),
        run_config=ray.train.RunConfig(
            name=_name(course),
            failure_config=ray.train.FailureConfig(max_failures=_KILLS),
            checkpoint_config=ray.train.CheckpointConfig(num_to_keep=2),
            storage_path=course.root.get_path("runs"),
            storage_filesystem=None if course.root.is_local else pyarrow.fs.PyFileSystem(handler),
        ),
    )
    ended = f"runs/{_name(course)}/{_ENDED}"
    course.root.write_json(ended, {})
    try:
        with _watched(course, on_epoch):
            trainer.fit()
    except ray.train.TrainingFailedError as error:
        raise StopJob(
            f"training on {course.data!r} was broken off ({_reason(error)}); "
            "nothing is lost, run the command again"
        ) from error
    outcome = json.loads(course.root.read(ended))
    if "stop" in outcome:
        raise StopJob(outcome["stop"])
    return [read_card(course.root, name) for name in outcome["translators"]]


@contextmanager
def _watched(course: TrainingJob, on_epoch: Callable[[int], None]) -> Iterator[None]:
    """Tell of epochs while the block lasts; workers may be anywhere, and their file is where all can read."""
    over = threading.Event()

    def watch() -> None:
        place, before = f"runs/{_name(course)}/{_CURVES}", 0
        while not over.wait(_WATCHED_EVERY_S):
            done = len(json.loads(course.root.read(place))) if course.root.exists(place) else 0
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


def _reason(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


def _name(course: TrainingJob) -> str:
    """The same preset over the same data goes on where it was; anything else begins anew."""
    preset = course.training.model_dump(mode="json", by_alias=True)
    said = json.dumps([preset, course.data, course.version], sort_keys=True).encode()
    return f"train-{course.training.name}-{course.data}-{hashlib.sha256(said).hexdigest()[:8]}"


def _worker(config: dict[str, Any]) -> None:
    course: TrainingJob = config["course"]
    try:
        for epoch, state in _epochs(course):
            _report(epoch, state)
    except EcholensError as error:
        # The class does not survive Ray's wrapping of exceptions; the sentence, in a file, does.
        course.root.write_json(f"runs/{_name(course)}/{_ENDED}", {"stop": str(error)})


def _epochs(course: TrainingJob) -> Iterator[tuple[int, dict[str, Any]]]:
    """Train, yielding every epoch and the state after it; then score and save."""
    import torch
    from ray.train.torch import get_device

    from pipelines.train.distributed import WorkerGroup
    from pipelines.train.translators.epochs import balance_groups, run_epochs
    from pipelines.train.translators.stacked import StackedNets

    workers, fit, device = WorkerGroup.from_distributed(), course.training.fit, str(get_device())
    alone = workers.size == 1 and device == "cpu"
    parts = balance_groups(course.cells, fit.cpus_per_worker if alone else 1)
    torch.set_num_threads(max(1, fit.cpus_per_worker // len(parts)))
    with tempfile.TemporaryDirectory(prefix="echolens-") as scratch:
        table = course.read(Path(scratch))
        dims = (table.source_space.dims, table.target_space.dims)
        lanes = [StackedNets(cells, dims, fit, device) for cells in parts]
        curves, done = _resumed(lanes, torch)
        began = time.monotonic()
        for epoch in run_epochs(lanes, table, workers, done):
            curves.append({"epoch": epoch.number, "seconds": epoch.seconds, "cosines": epoch.cosines})
            if workers.rank == 0:
                course.root.write_json(f"runs/{_name(course)}/{_CURVES}", curves)
            state = {"lanes": [lane.snapshot() for lane in lanes], "curves": curves, "epoch": epoch.number}
            yield epoch.number, state
        if workers.rank == 0:
            made = chain(_chosen(lanes), _baselines(course.data, table))
            cosines = {cell.name: [epoch["cosines"][cell.name] for epoch in curves] for cell in course.cells}
            cards = course.finish(table, made, time.monotonic() - began, cosines)
            ended = {"translators": [card.name for card in cards]}
            course.root.write_json(f"runs/{_name(course)}/{_ENDED}", ended)


def _resumed(lanes: Sequence[StackedNets], torch: Any) -> tuple[list[dict[str, Any]], int]:
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
    if len(found := state.get("lanes", ())) != len(lanes):
        raise ConfigError(
            f"checkpoint {checkpoint.path} is of {len(found)} lanes and the preset asks for {len(lanes)}; "
            "remove its folder, and run the command again"
        )
    for lane, before in zip(lanes, found, strict=True):
        lane.restore(before)
    return state["curves"], state["epoch"]


def _chosen(lanes: Sequence[StackedNets]) -> Iterator[Any]:
    for lane in lanes:
        for cell, net, epoch, cosine in lane.select_nets():
            yield cell, cell.name, net.cpu(), epoch, cosine


def _baselines(data: str, table: Any) -> Iterator[Any]:
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
