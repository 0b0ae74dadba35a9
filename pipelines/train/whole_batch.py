"""A task whose loss compares the samples of a whole batch, as a contrastive one does."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

from pipelines.train.distributed import WorkerGroup
from pipelines.train.task import StepDraw, StepLoss, Task

if TYPE_CHECKING:
    from torch import Tensor, nn

Vectors = tuple["Tensor", ...]


class WholeBatchTask(Task):
    """A loss in two halves, so that `accumulate` can cache the gradients between them."""

    @abstractmethod
    def embed(self, net: nn.Module, batch: Any, draw: StepDraw) -> Vectors:
        """Return what the loss compares, `[N, ...]` each.

        Args:
            net: under training.
            batch: or a part of it.
            draw: the random streams of the step.
        """

    @abstractmethod
    def compute_criterion(self, net: nn.Module, vectors: Vectors, batch: Any, group: WorkerGroup) -> StepLoss:
        """Return a worker's share of the loss of a whole batch.

        Args:
            net: under training, whose own parameters (a temperature) may take part.
            vectors: what `embed` returned for this worker's whole share.
            batch: this worker's whole share.
            group: the workers.
        """

    def compute_loss(self, net: nn.Module, batch: Any, draw: StepDraw, group: WorkerGroup) -> StepLoss:
        """Return a worker's share of the loss of a batch that is not split."""
        return self.compute_criterion(net, self.embed(net, batch, draw), batch, group)
