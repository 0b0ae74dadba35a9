"""The linear probe: what it refuses to begin with, without Ray."""

from dataclasses import replace
from pathlib import Path

import pytest

from jobs.shared.presets import read_preset
from pipelines.errors import ConfigError, EcholensError
from pipelines.store.root import Root
from pipelines.train.dataset import TrainingDataset
from pipelines.train.distributed import WorkerGroup
from pipelines.train.linear_probe import LinearProbe
from pipelines.train.registry import make_task
from pipelines.train.trainer import Trainer
from schemas.training import TaskPreset

RECIPE = read_preset("linear_probe", ()).recipe.model_copy(update={"batch": 8, "epochs": 2})


@pytest.fixture
def probe(built) -> LinearProbe:
    dataset = TrainingDataset(Root.from_url(str(built.root)), "miniature", 1000, 1)
    return LinearProbe(dataset, buffer=4, split={"validation": 0.2})


@pytest.fixture
def shard_rows(built):
    """The rows of a shard of the built world."""
    from jobs.shared.job import load

    return load(str(built.root)).shard_rows


def begin(probe, folder, **recipe):
    return Trainer(probe, RECIPE.model_copy(update=recipe), Root.from_url(str(folder)), caches=folder)


@pytest.mark.parametrize(
    ("changes", "recipe", "said"),
    [
        ({}, {"batch": 12}, "a batch of 12 cannot be divided among 8 lanes"),
        ({}, {"batch": 512}, "are too few for batches of 512; take more rows, or a smaller recipe.batch"),
        ({}, {"init_from": "nowhere"}, "init_from nowhere is no .safetensors file"),
        ({"target": "other_audio"}, {}, "has no vector other_audio of these rows"),
        ({"picture": "9.jpg"}, {}, "9.jpg"),
        ({"picture": "jpg"}, {}, "usable rows with jpg"),
    ],
    ids=["lanes", "rows", "weights", "column", "member", "no-picture"],
)
def test_a_wrong_setting_is_one_sentence(probe, shard_rows, tmp_path, changes, recipe, said):
    """What was found, what was wanted."""
    dataset = replace(probe.dataset, shard_rows=shard_rows)
    with pytest.raises(EcholensError, match=said):
        begin(replace(probe, dataset=dataset, **changes), tmp_path, **recipe)


def test_workers_read_the_batch_of_one(probe, shard_rows, tmp_path):
    """The lanes of two workers, in the order of their ranks, are those of one."""
    dataset = replace(probe.dataset, shard_rows=shard_rows)
    parts = []
    for rank, size in ((0, 1), (0, 2), (1, 2)):
        group = WorkerGroup(rank, size)
        place = Root.from_url(str(tmp_path / f"{rank}of{size}"))
        trainer = Trainer(replace(probe, dataset=dataset), RECIPE, place, caches=Path(), group=group)
        parts.append(trainer.task.make_batch(3, group)[0])
        trainer.task.close()

    assert parts[0].tolist() == [*parts[1].tolist(), *parts[2].tolist()]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"split": {"validation": 2.0}}, "validation: Input should be less than 0.5"),
        ({"split": {"valid": 0.1}}, "valid: Extra inputs are not permitted"),
        ({"target": "clap_video"}, "clap_video"),
        ({"target": 3}, "target: Input should be a valid string, and is 3"),
        ({"side_px": "abc"}, "side_px: Input should be a valid integer.*, and is 'abc'"),
        ({"lanes": [1, 2]}, r"lanes: Input should be a valid integer, and is \(1, 2\)"),
    ],
    ids=["share", "key", "column", "number", "side", "lanes"],
)
def test_a_setting_that_is_none_is_refused(probe, settings, said):
    """Before anything is read, in one sentence with the preset's name."""
    preset = TaskPreset(name="mine", task="linear_probe", recipe=RECIPE, **settings)
    with pytest.raises(ConfigError, match=f"preset mine: .*LinearProbe refuses what was given .*{said}"):
        make_task(preset, probe.dataset, ())


def test_a_preset_names_no_dataset(probe):
    """The command does; a key that nobody reads would mislead."""
    preset = TaskPreset(name="mine", task="linear_probe", recipe=RECIPE, dataset="/data/other")
    with pytest.raises(ConfigError, match="preset mine: dataset is given by the command"):
        make_task(preset, probe.dataset, ())
