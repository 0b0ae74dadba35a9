"""What data-parallel workers exchange; two workers in a training are in tests/jobs/test_train.py."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pipelines.train.distributed import WorkerGroup


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
