"""Six experiments in one pass beside one experiment in a plain PyTorch loop, in the same run.

Sizes are those of AudioCaps; `ECHOLENS_BENCH_PAIRS` and `ECHOLENS_BENCH_EPOCHS` make them smaller. All that
is measured takes turns, an epoch each, so that whatever else the machine does befalls all of it alike; a
time is the median epoch's.
"""

import os
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import normalize, relu

from pipelines.store.root import Root
from pipelines.store.splits import TEST, TRAIN, VALIDATION
from pipelines.train.trainer import Trainer, train_side_by_side
from pipelines.train.translators.pairs import PairTable
from pipelines.train.translators.task import TranslatorsTask, make_recipe
from schemas.training import Experiment, FitSettings
from tests.pipelines.train.pairs_in_memory import PairsInMemory
from tests.pipelines.train.spaces import space

PAIRS = int(os.environ.get("ECHOLENS_BENCH_PAIRS", "57000"))
EPOCHS = int(os.environ.get("ECHOLENS_BENCH_EPOCHS", "50"))
OF_THE_SEED = 50
THREADS = min(2, os.cpu_count() or 1)
DIMS = 512
BATCH = 64
GRID = [
    Experiment(data="bench", loss=loss, hidden=h) for loss in ("mse", "cosine", "nt_xent") for h in (256, 512)
]

pytestmark = pytest.mark.bench


class Plain(nn.Module):
    """The first seed's net as anybody would write it."""

    def __init__(self, hidden):
        super().__init__()
        self.a, self.b, self.c = nn.Linear(DIMS, hidden), nn.Linear(hidden, hidden), nn.Linear(hidden, DIMS)

    def forward(self, x):
        return normalize(self.c(relu(self.b(relu(self.a(normalize(x, dim=-1)))))), dim=-1)


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    source = rng.standard_normal((PAIRS, DIMS), dtype=np.float32)
    source /= np.linalg.norm(source, axis=1, keepdims=True)
    target = source @ rng.standard_normal((DIMS, DIMS), dtype=np.float32)
    target /= np.linalg.norm(target, axis=1, keepdims=True)
    part = np.full(PAIRS, TRAIN, dtype=np.uint8)
    part[: PAIRS // 20], part[PAIRS // 20 : PAIRS // 10] = TEST, VALIDATION
    halves = (source.astype(np.float16), target.astype(np.float16))
    return PairTable(space("a", DIMS), space("b", DIMS), *halves, part, np.arange(PAIRS, dtype=np.int32))


def sliced(x, y):
    """Shuffled batches of two tensors, without torch's DataLoader."""
    order = torch.randperm(len(x))
    for start in range(0, len(x) - BATCH + 1, BATCH):
        rows = order[start : start + BATCH]
        yield x[rows], y[rows]


def plain(table, hidden, loading):
    """Yield the seconds of each epoch of one experiment: nn.Linear, the seed's Adam, a cosine loss."""
    x, y = (torch.from_numpy(side) for side in table.get_pairs(table.find_rows(TRAIN)))
    loader = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(x, y), batch_size=BATCH, shuffle=True, drop_last=True
    )
    net = Plain(hidden)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    while True:
        torch.set_num_threads(THREADS)
        began = time.perf_counter()
        for given, wanted in loader if loading == "DataLoader" else sliced(x, y):
            loss = (1 - (net(given) * wanted).sum(-1)).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        yield time.perf_counter() - began


def together(table, experiments, shares, precision="fp32"):
    """Yield the seconds of each epoch of experiments in one pass, with validation; a stack a thread."""
    recipe = make_recipe(FitSettings(epochs=EPOCHS, batch=BATCH, precision=precision))
    parts = TranslatorsTask(PairsInMemory(table), tuple(experiments)).divide(THREADS)
    trainers = [Trainer(part, recipe, Root.from_url(tempfile.mkdtemp()), caches=Path()) for part in parts]
    for epoch in range(EPOCHS):
        torch.set_num_threads(THREADS // len(trainers))
        began = time.perf_counter()
        with parts[0].make_process_context():
            train_side_by_side(trainers, (epoch + 1) * trainers[0].task.count_steps())
        seconds = time.perf_counter() - began
        shares.append(max(trainer.loading_s for trainer in trainers) / seconds)
        for trainer in trainers:
            trainer.loading_s = 0.0
        yield seconds


def test_six_experiments_cost_less_than_three(table, capsys):
    """One table: seconds and ratios. The six validate after every epoch, the plain loop never does."""
    loading = []
    contenders = {
        "plain loop, one experiment h512, DataLoader": plain(table, 512, "DataLoader"),
        "plain loop, one experiment h512, slices of tensors": plain(table, 512, "slices"),
        "plain loop, one experiment h256, DataLoader": plain(table, 256, "DataLoader"),
        "six experiments in one pass, fp32": together(table, GRID, loading),
        "six experiments in one pass, bf16 products": together(table, GRID, [], "bf16"),
        "one experiment h512 through the same code": together(table, GRID[-1:], []),
    }
    seconds = {what: [] for what in contenders}
    for _ in range(EPOCHS):
        for what, passes in contenders.items():
            seconds[what].append(next(passes))
    whole = {what: OF_THE_SEED * median(each) for what, each in seconds.items()}
    one, bare, narrow, six, _, _ = whole.values()
    with capsys.disabled():
        print(
            f"\n{PAIRS:,} pairs x {DIMS}, batch {BATCH}, {THREADS} threads; "
            f"{OF_THE_SEED} epochs at the median of {EPOCHS}"
        )
        print("| what | seconds | of plain h512 | of it with slices | of the mean of both widths |")
        print("|---|---|---|---|---|")
        for what, each in whole.items():
            mean = (one + narrow) / 2
            print(f"| {what} | {each:.0f} | {each / one:.2f} | {each / bare:.2f} | {each / mean:.2f} |")
        print(
            f"loading pairs: {median(loading):.1%} of the steps; 18 experiments: {3 * six:.0f} s at three "
            f"tables of this size, {4 * six:.0f} s where the third is the first two together"
        )
    assert median(loading) < 0.05
    assert six < 3 * one
