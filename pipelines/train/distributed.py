"""Data-parallel workers over torch.distributed: batch slices, all-gather, all-reduce.

The global batch is fixed and divided among the workers. Each computes the loss over the whole batch, with
gradients for its own rows alone; the sum of these is the gradient of a single worker.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, distributed


@dataclass(frozen=True)
class WorkerGroup:
    """The rank of this worker and the number of workers; a group of one never communicates."""

    rank: int = 0
    size: int = 1

    @classmethod
    def from_distributed(cls) -> WorkerGroup:
        """Return the group that torch.distributed has set up, or a group of one."""
        if not distributed.is_initialized():
            return cls()
        return cls(distributed.get_rank(), distributed.get_world_size())

    def slice_batch(self, batch: int) -> slice:
        """Return this worker's slice of a global batch."""
        return slice(batch * self.rank // self.size, batch * (self.rank + 1) // self.size)

    def gather_all(self, local: Tensor) -> Tensor:
        """All-gather rows, `[..., N, D]`; only this worker's own rows carry a gradient."""
        if self.size == 1:
            return local
        rows = [torch.empty_like(local) for _ in range(self.size)]
        distributed.all_gather(rows, local.detach().contiguous())
        rows[self.rank] = local
        return torch.cat(rows, dim=-2)

    def share_gradient(self, tensor: Tensor) -> Tensor:
        """Return a tensor that all workers use alike, with its gradient divided among them.

        The gradients of all workers are added up: a temperature's would count once for every worker.
        """
        if self.size == 1:
            return tensor
        own = tensor / self.size
        return own + (tensor - own).detach()

    def share_value(self, tensor: Tensor) -> Tensor:
        """Return a loss that every worker has whole, with its value divided among them.

        Its gradients stay: each worker's are those of its own rows.
        """
        if self.size == 1:
            return tensor
        return tensor - (tensor * (1 - 1 / self.size)).detach()

    def reduce_all(self, tensor: Tensor) -> None:
        """All-reduce: replace a tensor by its sum over all workers."""
        if self.size > 1:
            distributed.all_reduce(tensor)
