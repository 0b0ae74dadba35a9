"""What data-parallel workers exchange; two workers in a training are in tests/jobs/test_train.py."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from pipelines.train.distributed import WorkerGroup
from tests.commands import HOME
from tests.pipelines.train.worker_gradients import TASKS, compute_all

# laion_clap installs a package that is called `tests`, too.
WORKER = """
import sys, types
own = sys.modules["tests"] = types.ModuleType("tests")
own.__path__ = [sys.argv[1]]
from tests.pipelines.train.worker_gradients import run_worker
run_worker(int(sys.argv[2]), sys.argv[3])
"""


@pytest.mark.parametrize(("batch", "size"), [(64, 1), (64, 2), (12, 5)], ids=str)
def test_slices_cover_the_batch_once(batch: int, size: int) -> None:
    """In the order of the ranks, and no slice is longer than another by more than a row."""
    rows = list(range(batch))
    slices = [rows[WorkerGroup(rank, size).slice_batch(batch)] for rank in range(size)]

    assert rows == [row for part in slices for row in part]
    assert max(map(len, slices)) - min(map(len, slices)) <= 1


def test_without_torch_distributed_a_worker_is_alone() -> None:
    """It gathers its own rows, with their gradients, and its sums are its own."""
    alone, rows = WorkerGroup.from_distributed(), torch.ones(2, 3, requires_grad=True)
    gradients = torch.full((4,), 7.0)
    alone.reduce_all(gradients)

    assert WorkerGroup(0, 1) == alone
    assert rows is alone.gather_all(rows)
    assert [7.0] * 4 == gradients.tolist()


def test_the_group_is_the_one_of_torch_distributed(tmp_path: Path) -> None:
    """Rank and size come from the process group."""
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        assert WorkerGroup(0, 1) == WorkerGroup.from_distributed()
    finally:
        torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_workers_have_the_gradient_of_one(tmp_path: Path) -> None:
    """Of means, of losses over a whole batch with a temperature, in parts too, and of pocket models."""
    alone = compute_all(WorkerGroup(), tmp_path / "caches")
    environment = os.environ | {"PYTHONPATH": str(HOME)}
    words = [sys.executable, "-c", WORKER, str(HOME / "tests")]
    workers = [subprocess.Popen([*words, str(rank), str(tmp_path)], env=environment) for rank in (0, 1)]
    assert [0, 0] == [worker.wait() for worker in workers]
    together = torch.load(tmp_path / "found.pt", weights_only=True)

    assert TASKS.keys() == together.keys()
    for name, expected in alone.items():
        assert float(together[name][0]) == pytest.approx(float(expected[0]), rel=1e-5), name
        difference = (together[name] - expected).abs().max() / expected.abs().max()
        assert float(difference) < 1e-4, f"{name}: {difference}"
