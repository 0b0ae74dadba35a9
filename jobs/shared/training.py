"""Train on a dataset: the translators of a preset, or any other task."""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from pipelines.errors import ConfigError, EcholensError
from pipelines.store.root import Root
from schemas.dataset import Dataset
from schemas.model_card import ModelCard
from schemas.training import Resources, TaskPreset, TrainingPreset
from schemas.translator_card import TranslatorCard

if TYPE_CHECKING:
    from pipelines.train.dataset import TrainingDataset


def train_translators(
    dataset: Dataset, training: TrainingPreset, data_names: Sequence[str]
) -> list[TranslatorCard]:
    """Train every experiment of some data sets of a preset, one data set after the other; return their cards.

    Args:
        dataset: with the pairs.
        training: the preset.
        data_names: its data sets to train.

    Raises:
        LeaseHeldError: another training of this root is at work; this one has written nothing.
    """
    from pipelines.run.ray_plan import Session
    from pipelines.store.lease import hold_lease
    from pipelines.train import ray_train
    from pipelines.train.translators.task import TranslatorsTask, make_recipe
    from pipelines.train.translators.training_pairs import TrainingPairs
    from pipelines.translate import translator
    from pipelines.translate.defaults import write_defaults

    root, fit, source = Root.from_dataset(dataset), training.fit, _find_version(dataset)
    resources = Resources(
        workers=fit.workers, cpus_per_worker=fit.cpus_per_worker, gpus_per_worker=fit.gpus_per_worker
    )
    cards: list[TranslatorCard] = []
    previous_cards = {card.name: card for card in translator.read_cards(root)}
    # Two trainings could write translators of one name, or resume one checkpoint. Builds write elsewhere.
    with hold_lease(root.enter("translators"), "train") as lease, Session() as session:
        session.start()
        for data in data_names:
            pairs = TrainingPairs(source, training, data)
            many = "1 cell" if len(pairs.experiments) == 1 else f"{len(pairs.experiments)} cells in one pass"
            print(f"train: {data} of set {dataset.encode.set}, {many}", file=sys.stderr)
            run = ray_train.TrainingRun(
                root=root,
                name=f"{training.name}-{data}",
                task=TranslatorsTask(pairs, pairs.experiments),
                recipe=make_recipe(fit),
                resources=resources,
            )
            names = ray_train.train(run, partial(_print_epoch, data, fit.epochs))
            # In the order of the preset, the baselines last.
            order = {experiment.name: number for number, experiment in enumerate(pairs.experiments)}
            names.sort(key=lambda name: order.get(name, len(order)))
            cards += [translator.read_card(root, name) for name in names]
            lease.check()
        _print_defaults(write_defaults(root), cards)
    _print_replaced(previous_cards, cards)
    return cards


def train_task(dataset: Dataset, preset: TaskPreset, trusted: Collection[str]) -> list[ModelCard]:
    """Train a task on a dataset, and return the cards of what lies in its models/ then.

    Args:
        dataset: with the root, and the data if the task has some.
        preset: of the task.
        trusted: classes that are none of ours and may be imported, as module:Class.

    Raises:
        LeaseHeldError: another training of this root is at work; this one has written nothing.
    """
    from pipelines.run.ray_plan import Session
    from pipelines.store import models
    from pipelines.store.lease import hold_lease
    from pipelines.train import ray_train
    from pipelines.train.registry import make_task

    root = Root.from_dataset(dataset)
    preset = _resolve_initial(root, preset)
    task = make_task(preset, _find_version(dataset), trusted)
    if task.stored_in != models.FOLDER:
        raise ConfigError(f"task {preset.task} stores in {task.stored_in!r}; a preset's task leaves models")
    with hold_lease(root.enter(models.FOLDER), "train") as lease, Session() as session:
        session.start()
        print(f"train: {preset.name}, task {preset.task}", file=sys.stderr)
        run = ray_train.TrainingRun(root, preset.name, task, preset.recipe, preset.resources)
        names = ray_train.train(run, partial(_print_step, preset.name))
        lease.check()
    return [models.read_model(root, name) for name in names]


def _resolve_initial(root: Root, preset: TaskPreset) -> TaskPreset:
    """Return a preset whose `init_from: models/NAME` is the folder of that model of the root."""
    from pipelines.store.models import FOLDER, find_model_folder

    place = preset.recipe.init_from or ""
    folder, _, name = place.partition("/")
    if folder != FOLDER or not name or Path(place).exists():
        return preset
    recipe = preset.recipe.model_copy(update={"init_from": str(find_model_folder(root, name))})
    return preset.model_copy(update={"recipe": recipe})


def check_task(dataset: Dataset, preset: TaskPreset, trusted: Collection[str], opens: bool) -> None:
    """Refuse a preset whose task does not take its settings or its data, before anything is trained.

    Args:
        dataset: with the data if the task has some.
        preset: of the task.
        trusted: classes that are none of ours and may be imported, as module:Class.
        opens: whether its data are looked at, too, which takes as long as the start of its training.

    Raises:
        ConfigError: there is no such task, nobody trusts it, or it does not take these settings or data.
    """
    import torch

    from pipelines.train.registry import make_task
    from pipelines.train.task import TaskContext

    task = make_task(preset, _find_version(dataset), trusted)
    if not opens:
        return
    with TemporaryDirectory() as folder:
        try:
            task.check(TaskContext(preset.name, preset.recipe, Path(folder), torch.device("cpu")))
        except EcholensError as error:
            raise ConfigError(f"preset {preset.name}: {error}") from error


def _find_version(dataset: Dataset) -> TrainingDataset:
    from pipelines.store import versions
    from pipelines.train.dataset import TrainingDataset

    root = Root.from_dataset(dataset)
    version = versions.read_current(root, dataset.encode.set)
    return TrainingDataset(root, dataset.name, dataset.shard_rows, version.number)


def _print_epoch(data: str, epochs: int, curves: Mapping[str, Any]) -> None:
    print(f"train: {data}, epoch {curves['epoch']} of {epochs}", file=sys.stderr)


def _print_step(name: str, curves: Mapping[str, Any]) -> None:
    loss = curves["losses"][-1]["loss"] if curves["losses"] else float("nan")
    print(f"train: {name}, step {curves['step']:,} of {curves['steps']:,}, loss {loss:.4g}", file=sys.stderr)


def _print_defaults(chosen: Mapping[str, str], cards: Sequence[TranslatorCard]) -> None:
    """Say which translators are now taken where none is named, of the directions that were trained."""
    trained = {direction for card in cards for direction in card.validation}
    for direction, name in chosen.items():
        if direction in trained:
            print(f"train: the default from {direction.replace(' -> ', ' to ')} is {name}", file=sys.stderr)


def _print_replaced(previous_cards: Mapping[str, TranslatorCard], cards: Sequence[TranslatorCard]) -> None:
    for card in cards:
        previous = previous_cards.get(card.name)
        if card.cell and previous and previous.weights_sha256 != card.weights_sha256:
            print(
                f"train: {card.name} of cosine {card.scores.cosine:.3f} took the place of one of "
                f"{previous.scores.cosine:.3f} (set {previous.set}, version {previous.version})",
                file=sys.stderr,
            )
