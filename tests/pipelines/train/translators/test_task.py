"""The task of translators: its batches, its groups, its precision, and what it needs."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch

from pipelines.errors import ConfigError
from pipelines.store.root import Root
from pipelines.store.splits import TEST, TRAIN, VALIDATION
from pipelines.train.distributed import WorkerGroup
from pipelines.train.trainer import Trainer, train_side_by_side
from pipelines.train.translators.pairs import PairTable
from pipelines.train.translators.task import TranslatorsTask, balance_groups, make_recipe
from schemas.training import Experiment, FitSettings
from tests.pipelines.train.pairs_in_memory import PairsInMemory
from tests.pipelines.train.spaces import space

DIMS = (24, 20)
EXPERIMENTS = [
    Experiment(data="toy", loss="cosine", hidden=32),
    Experiment(data="toy", loss="nt_xent", hidden=32),
    Experiment(data="toy", net="residual_mlp", loss="mse", hidden=32),
    Experiment(data="toy", net="diffusion", loss="denoise", hidden=64, depth=1),
]


def table_of(train, validation, test=0):
    """Pairs of a linear map with a little noise."""
    rng = np.random.default_rng(1)
    count = train + validation + test
    source = rng.standard_normal((count, DIMS[0]), dtype=np.float32)
    target = source @ rng.standard_normal(DIMS, dtype=np.float32)
    source /= np.linalg.norm(source, axis=1, keepdims=True)
    target /= np.linalg.norm(target, axis=1, keepdims=True)
    part = np.repeat([TRAIN, VALIDATION, TEST], [train, validation, test]).astype(np.uint8)
    halves = (source.astype(np.float16), target.astype(np.float16))
    labels = np.zeros(count, dtype=np.uint64)
    return PairTable(space("a", DIMS[0]), space("b", DIMS[1]), *halves, part, labels)


def make_trainers(parts, table, fit):
    """Return a trainer of each group of experiments."""
    return [
        Trainer(
            TranslatorsTask(PairsInMemory(table), tuple(part)),
            make_recipe(fit),
            Root.from_url(tempfile.mkdtemp()),
            caches=Path(),
        )
        for part in parts
    ]


def cosines_of(experiments, table, fit):
    """Train experiments in one pass and return their last validation cosines."""
    (trainer,) = make_trainers([experiments], table, fit)
    with trainer.task.make_process_context():
        trainer.train()
    return trainer, {name: each.curve[-1] for name, each in trainer.make_result().members.items()}


@pytest.mark.parametrize(("train", "validation"), [(31, 8), (64, 0)], ids=["a batch", "validation"])
def test_too_few_pairs_are_an_error(train, validation):
    """Fewer than a batch, or none to choose the best epoch by: both counts are named."""
    said = f"{train} pairs to train on and {validation} to validate on are too few for batches of 32"

    with pytest.raises(ConfigError, match=said):
        make_trainers([EXPERIMENTS[:1]], table_of(train, validation), FitSettings(batch=32))


def test_bf16_products_train_the_same_translators():
    """Weights, moments and losses stay fp32; cosines differ by less than their noise."""
    table = table_of(1024, 256)
    found = {}
    for precision in ("fp32", "bf16"):
        fit = FitSettings(epochs=6, batch=32, precision=precision)
        trainer, found[precision] = cosines_of(EXPERIMENTS, table, fit)
        assert {torch.float32} == {weight.dtype for weight in trainer.net.parameters()}

    if torch.ops.mkldnn._is_mkldnn_bf16_supported():
        assert found["fp32"] != found["bf16"]
    assert min(found["fp32"].values()) > 0.5
    assert found["fp32"] == pytest.approx(found["bf16"], abs=0.02)
    assert "bf16" != torch.backends.mkldnn.matmul.fp32_precision


def test_bf16_experiments_together_are_the_experiments_alone():
    """In the same precision a lone run ends where it ends beside others."""
    table, fit = table_of(512, 128), FitSettings(epochs=3, batch=32, precision="bf16")
    grid = EXPERIMENTS[:2] + [experiment.model_copy(update={"hidden": 16}) for experiment in EXPERIMENTS[:2]]
    together = cosines_of(grid, table, fit)[1]
    alone = {}
    for experiment in grid:
        alone |= cosines_of([experiment], table, fit)[1]

    assert alone == pytest.approx(together, abs=1e-3)


def test_groups_train_what_one_pass_trains():
    """In threads of their own or together they end alike; those with dropout share a group, the first."""
    table, fit = table_of(512, 128), FitSettings(epochs=3, batch=32)
    dropped = [experiment.model_copy(update={"p_drop": 0.5}) for experiment in EXPERIMENTS[:2]]
    grid = [
        *EXPERIMENTS,
        *(experiment.model_copy(update={"hidden": 16}) for experiment in EXPERIMENTS[:2]),
        *dropped,
    ]
    found = []
    for count in (1, 3):
        parts = [
            part.experiments for part in TranslatorsTask(PairsInMemory(table), tuple(grid)).divide(count)
        ]
        trainers = make_trainers(parts, table, fit)
        train_side_by_side(trainers)
        results = [trainer.make_result().members for trainer in trainers]
        found.append({name: each.curve[-1] for members in results for name, each in members.items()})

    assert 3 == len(parts)
    assert found[0] == pytest.approx(found[1], abs=1e-4)
    assert {experiment.name for experiment in dropped} <= {experiment.name for experiment in parts[0]}


def test_batches_depend_on_their_step_alone(tmp_path):
    """Asked for in any order, in memory or mapped, and by one worker or two, a step has its rows."""
    table = table_of(512, 128)
    paths = [tmp_path / name for name in ("source.f16", "target.f16")]
    for path, side in zip(paths, (table.source_NI, table.target_NO), strict=True):
        path.write_bytes(side.tobytes())
    sides = [np.memmap(path, np.float16, "r").reshape(len(table.part_N), -1) for path in paths]
    mapped = PairTable(table.source_space, table.target_space, *sides, table.part_N, table.labels_N)
    for each in (table, mapped):
        (trainer,) = make_trainers([EXPERIMENTS[:1]], each, FitSettings(epochs=3, batch=32))
        task, alone = trainer.task, WorkerGroup()
        inputs = [task.make_batch(step, alone)[0] for step in range(48)]
        assert 16 == task.count_steps()
        assert not torch.equal(inputs[0], inputs[16])
        for step in (40, 3, 17, 16):
            assert torch.equal(inputs[step], task.make_batch(step, alone)[0])
        halves = [task.make_batch(5, WorkerGroup(rank, 2))[0] for rank in (0, 1)]
        assert torch.equal(inputs[5], torch.cat(halves))


def test_groups_are_of_about_equal_cost():
    """Three nets of 512 and three of 256, in two groups: neither has more than 6 in 10 of the work."""
    grid = [
        Experiment(data="toy", loss=loss, hidden=h)
        for loss in ("mse", "cosine", "nt_xent")
        for h in (256, 512)
    ]
    first, second = balance_groups(grid, 2)
    work = [sum(each.hidden * (1024 + each.hidden) for each in part) for part in (first, second)]

    assert 6 == len(first) + len(second)
    assert max(work) < 0.6 * sum(work)
    assert [[grid[0]]] == balance_groups(grid[:1], 2)
