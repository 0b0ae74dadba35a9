"""Six cells in one pass beside one cell in a plain PyTorch loop, in the same run.

Sizes are those of AudioCaps; `ECHOLENS_BENCH_PAIRS` and `ECHOLENS_BENCH_EPOCHS` make them smaller.
"""

import os
import time

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import normalize, relu

from pipelines.train.fit import epochs
from pipelines.train.gang import Gang
from pipelines.train.pairs import TEST, TRAIN, VALIDATION, PairTable
from pipelines.train.together import Together
from schemas.training import Cell, Fit
from tests.pipelines.train.test_pairs import space

PAIRS = int(os.environ.get("ECHOLENS_BENCH_PAIRS", "57000"))
EPOCHS = int(os.environ.get("ECHOLENS_BENCH_EPOCHS", "50"))
DIMS = 512
BATCH = 64
GRID = [Cell(data="bench", loss=loss, hidden=h) for loss in ("mse", "cosine", "nt_xent") for h in (256, 512)]

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


def plain_s(table, hidden):
    """Return the seconds of one cell: DataLoader, Adam, a cosine loss."""
    rows = table.rows(TRAIN)
    pairs = torch.utils.data.TensorDataset(*(torch.from_numpy(side) for side in table.pairs(rows)))
    loader = torch.utils.data.DataLoader(pairs, batch_size=BATCH, shuffle=True, drop_last=True)
    net = Plain(hidden)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    began = time.perf_counter()
    for _ in range(EPOCHS):
        for x, y in loader:
            loss = (1 - (net(x) * y).sum(-1)).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return time.perf_counter() - began


def together_s(table, cells):
    """Return the seconds of cells in one pass, and the share of them that went into loading."""
    began = time.perf_counter()
    seen = [*epochs(Together(cells, (DIMS, DIMS), Fit(epochs=EPOCHS, batch=BATCH)), table, Gang())]
    return time.perf_counter() - began, sum(e.loading_s for e in seen) / sum(e.seconds for e in seen)


def test_six_cells_cost_less_than_three(table, capsys):
    """One table: seconds and ratios. The six validate after every epoch, the plain loop never does."""
    one = {hidden: plain_s(table, hidden) for hidden in (256, 512)}
    six, loading = together_s(table, GRID)
    alone, _ = together_s(table, GRID[-1:])
    with capsys.disabled():
        print(
            f"\n{PAIRS:,} pairs x {DIMS}, {EPOCHS} epochs, batch {BATCH}, {torch.get_num_threads()} threads"
        )
        print("| what | seconds | of a plain cell h512 | of the plain mean |\n|---|---|---|---|")
        mean = sum(one.values()) / 2
        for what, seconds in (
            ("plain PyTorch loop, h256", one[256]),
            ("plain PyTorch loop, h512", one[512]),
            ("six cells in one pass", six),
            ("one cell h512 through the same code", alone),
        ):
            print(f"| {what} | {seconds:.1f} | {seconds / one[512]:.2f} | {seconds / mean:.2f} |")
        print(f"loading pairs: {loading:.1%} of the steps; the 18 cells: about {3 * six:.0f} s")
    assert loading < 0.05
