"""The loop over epochs: what it needs, and that narrow products change nothing that matters."""

import numpy as np
import pytest
import torch

from pipelines.errors import ConfigError
from pipelines.train.distributed import WorkerGroup
from pipelines.train.translators.epochs import balance_groups, run_epochs
from pipelines.train.translators.pairs import TEST, TRAIN, VALIDATION, PairTable
from pipelines.train.translators.stacked import StackedNets
from schemas.training import Experiment, FitSettings
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


@pytest.mark.parametrize(("train", "validation"), [(31, 8), (64, 0)], ids=["a batch", "validation"])
def test_too_few_pairs_are_an_error(train, validation):
    """Fewer than a batch, or none to choose the best epoch by: both counts are named."""
    stack = StackedNets(EXPERIMENTS[:1], DIMS, FitSettings(batch=32))
    said = f"{train} pairs to train on and {validation} to validate on are too few for batches of 32"

    with pytest.raises(ConfigError, match=said):
        next(run_epochs([stack], table_of(train, validation), WorkerGroup()))


def test_bf16_products_train_the_same_translators():
    """Weights, moments and losses stay fp32; cosines differ by less than their noise."""
    table = table_of(1024, 256)
    found = {}
    for precision in ("fp32", "bf16"):
        stack = StackedNets(EXPERIMENTS, DIMS, FitSettings(epochs=6, batch=32, precision=precision))
        *_, last = run_epochs([stack], table, WorkerGroup())
        found[precision] = last.cosines
        assert {torch.float32} == {group.weights.dtype for group in stack.groups}

    if torch.ops.mkldnn._is_mkldnn_bf16_supported():
        assert found["fp32"] != found["bf16"]
    assert min(found["fp32"].values()) > 0.5
    assert found["fp32"] == pytest.approx(found["bf16"], abs=0.02)
    assert "bf16" != torch.backends.mkldnn.matmul.fp32_precision


def test_bf16_experiments_together_are_the_experiments_alone():
    """In the same precision a lone run ends where it ends beside others."""
    table, fit = table_of(512, 128), FitSettings(epochs=3, batch=32, precision="bf16")
    grid = EXPERIMENTS[:2] + [experiment.model_copy(update={"hidden": 16}) for experiment in EXPERIMENTS[:2]]
    *_, together = run_epochs([StackedNets(grid, DIMS, fit)], table, WorkerGroup())
    alone = {}
    for experiment in grid:
        *_, last = run_epochs([StackedNets([experiment], DIMS, fit)], table, WorkerGroup())
        alone |= last.cosines

    assert alone == pytest.approx(together.cosines, abs=1e-3)


def test_groups_train_what_one_pass_trains():
    """In threads of their own or together they end alike; those with dropout share a group."""
    table, fit = table_of(512, 128), FitSettings(epochs=3, batch=32)
    dropped = [experiment.model_copy(update={"p_drop": 0.5}) for experiment in EXPERIMENTS[:2]]
    grid = [
        *EXPERIMENTS,
        *(experiment.model_copy(update={"hidden": 16}) for experiment in EXPERIMENTS[:2]),
        *dropped,
    ]
    found = []
    for count in (1, 3):
        torch.manual_seed(0)
        parts = balance_groups(grid, count)
        *_, last = run_epochs([StackedNets(part, DIMS, fit) for part in parts], table, WorkerGroup())
        found.append(last.cosines)

    assert 3 == len(parts)
    assert found[0] == pytest.approx(found[1], abs=1e-4)
    assert any(
        {experiment.name for experiment in dropped} <= {experiment.name for experiment in part}
        for part in parts
    )


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
