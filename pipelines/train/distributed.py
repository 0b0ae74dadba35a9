"""The workers that train one translator together: what they must agree on after every step.

The global batch is fixed and divided among them. Each computes the loss over the whole of it, with gradients
for its own rows alone; the sum of these is the gradient that a single worker would have had.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, distributed


@dataclass(frozen=True)
class WorkerGroup:
    """How many workers there are, and which one this is. A group of one never waits."""

    rank: int = 0
    size: int = 1

    @classmethod
    def from_distributed(cls) -> WorkerGroup:
        """Return the group that torch.distributed has set up, or a group of one."""
        if not distributed.is_initialized():
            return cls()
        return cls(distributed.get_rank(), distributed.get_world_size())

    def slice_batch(self, batch: int) -> slice:
        """Return this worker's part of a global batch."""
        return slice(batch * self.rank // self.size, batch * (self.rank + 1) // self.size)

    def gather_all(self, mine: Tensor) -> Tensor:
        """Return the rows of all workers, `[..., N, D]`; only this worker's own carry a gradient."""
        if self.size == 1:
            return mine
        theirs = [torch.empty_like(mine) for _ in range(self.size)]
        distributed.all_gather(theirs, mine.detach().contiguous())
        theirs[self.rank] = mine
        return torch.cat(theirs, dim=-2)

    def reduce_all(self, mine: Tensor) -> None:
        """Replace a tensor by the sum over all workers."""
        if self.size > 1:
            distributed.all_reduce(mine)
