"""Gradients of a batch: at once, in parts that add up, or cached for a loss over the whole batch.

Caching (Gao et al. 2021, arXiv 2101.06983): the vectors of all parts are computed without a graph, the loss
gives the gradient of each vector, and each part is computed again to carry that gradient into the net. The
memory is that of one part, the gradient that of the whole batch. A net that normalises over its batch sees
the statistics of a part, as with `accumulate` in any case.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pipelines.errors import ConfigError
from pipelines.train.distributed import WorkerGroup
from pipelines.train.random_state import read_random_state, set_random_state
from pipelines.train.task import StepDraw, StepLoss, Task
from pipelines.train.whole_batch import WholeBatchTask


def check_accumulation(task: Task, parts: int) -> None:
    """Refuse to split the batches of a task whose loss is no mean over samples.

    Raises:
        ConfigError: it is no `WholeBatchTask` either.
    """
    if parts > 1 and not task.is_mean and not isinstance(task, WholeBatchTask):
        raise ConfigError(
            f"accumulate is {parts}, and the loss of {type(task).__name__} compares the samples of a whole "
            "batch: parts would give another loss; take accumulate: 1, or make it a WholeBatchTask"
        )


def compute_gradients(  # noqa: PLR0913, PLR0917
    task: Task, net: nn.Module, batch: Any, draw: StepDraw, group: WorkerGroup, parts: int
) -> StepLoss:
    """Add the gradient of a batch to the net's, and return the loss.

    Args:
        task: whose loss.
        net: under training.
        batch: this worker's share.
        draw: the random streams of the step.
        group: the workers.
        parts: in which it is computed, one after the other.
    """
    if parts > 1 and isinstance(task, WholeBatchTask):
        return _backward_cached(task, net, batch, task.split_batch(batch, parts), draw, group)
    if parts == 1:
        loss = task.compute_loss(net, batch, draw, group)
        torch.autograd.backward(loss.total)
        return StepLoss(loss.total.detach(), loss.parts)
    return _backward_sum(task, net, task.split_batch(batch, parts), draw, group)


def _backward_sum(
    task: Task, net: nn.Module, chunks: Sequence[Any], draw: StepDraw, group: WorkerGroup
) -> StepLoss:
    totals: list[Tensor] = []
    sums: dict[str, Tensor] = {}
    for chunk in chunks:
        loss = task.compute_loss(net, chunk, draw, group)
        torch.autograd.backward(loss.total / len(chunks))
        totals.append(loss.total.detach() / len(chunks))
        for name, value in loss.parts.items():
            sums[name] = sums.get(name, torch.zeros_like(value)) + value / len(chunks)
    return StepLoss(torch.stack(totals).sum(), sums)


def _backward_cached(  # noqa: PLR0913, PLR0917
    task: WholeBatchTask,
    net: nn.Module,
    batch: Any,
    chunks: Sequence[Any],
    draw: StepDraw,
    group: WorkerGroup,
) -> StepLoss:
    states: list[list[Tensor]] = []
    embedded: list[tuple[Tensor, ...]] = []
    with torch.no_grad():
        for chunk in chunks:
            states.append(read_random_state(draw.device))
            embedded.append(task.embed(net, chunk, draw))
    after = read_random_state(draw.device)
    vectors = tuple(torch.cat(each).requires_grad_() for each in zip(*embedded, strict=True))
    loss = task.compute_criterion(net, vectors, batch, group)
    torch.autograd.backward(loss.total)
    first = 0
    for chunk, state, cached in zip(chunks, states, embedded, strict=True):
        rows = slice(first, first + len(cached[0]))
        first = rows.stop
        # The same dropout as before: gradients belong to the vectors that the loss has seen.
        set_random_state(state, draw.device)
        again = task.embed(net, chunk, draw)
        torch.autograd.backward(again, [_get_gradient(each, rows) for each in vectors])
    set_random_state(after, draw.device)
    return StepLoss(loss.total.detach(), loss.parts)


def _get_gradient(vectors: Tensor, rows: slice) -> Tensor:
    assert vectors.grad is not None
    return vectors.grad[rows]
