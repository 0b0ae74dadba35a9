"""Gradients of a batch: at once, in parts that add up, or cached for a loss over the whole batch.

Caching (Gao et al. 2021, arXiv 2101.06983): the vectors of all parts are computed without a graph, the loss
gives the gradient of each vector, and each part is computed again to carry that gradient into the net. The
memory is that of one part, the gradient that of the whole batch. A net that normalises over its batch sees
the statistics of a part, as with `accumulate` in any case.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from pipelines.errors import ConfigError
from pipelines.train.distributed import WorkerGroup
from pipelines.train.task import StepDraw, StepLoss, Task

_RandomState = tuple[Tensor, list[Tensor]]


def has_criterion(task: Task) -> bool:
    """Return whether a task offers `embed` and `compute_criterion`."""
    own = type(task)
    return own.embed is not Task.embed and own.compute_criterion is not Task.compute_criterion


def check_accumulation(task: Task, parts: int) -> None:
    """Refuse to split the batches of a task whose loss is no mean over samples.

    Raises:
        ConfigError: it offers no `embed` and `compute_criterion` either.
    """
    if parts > 1 and not task.is_mean and not has_criterion(task):
        raise ConfigError(
            f"accumulate is {parts}, and the loss of {type(task).__name__} compares the samples of a whole "
            "batch: parts would give another loss; take accumulate: 1, or let the task offer embed and "
            "compute_criterion"
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
    if parts == 1:
        loss = task.compute_loss(net, batch, draw, group)
        torch.autograd.backward(loss.total)
        return StepLoss(loss.total.detach(), loss.parts)
    if task.is_mean:
        return _backward_sum(task, net, task.split_batch(batch, parts), draw, group)
    return _backward_cached(task, net, batch, task.split_batch(batch, parts), draw, group)


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
    task: Task, net: nn.Module, batch: Any, chunks: Sequence[Any], draw: StepDraw, group: WorkerGroup
) -> StepLoss:
    states: list[_RandomState] = []
    embedded: list[tuple[Tensor, ...]] = []
    with torch.no_grad():
        for chunk in chunks:
            states.append(_read_random_state(draw.device))
            embedded.append(task.embed(net, chunk, draw))
    after = _read_random_state(draw.device)
    vectors = tuple(torch.cat(each).requires_grad_() for each in zip(*embedded, strict=True))
    loss = task.compute_criterion(net, vectors, batch, group)
    torch.autograd.backward(loss.total)
    first = 0
    for chunk, state, cached in zip(chunks, states, embedded, strict=True):
        rows = slice(first, first + len(cached[0]))
        first = rows.stop
        with _replay(state, draw.device):
            again = task.embed(net, chunk, draw)
        torch.autograd.backward(again, [_get_gradient(each, rows) for each in vectors])
    _set_random_state(after, draw.device)
    return StepLoss(loss.total.detach(), loss.parts)


def _get_gradient(vectors: Tensor, rows: slice) -> Tensor:
    assert vectors.grad is not None
    return vectors.grad[rows]


def _read_random_state(device: torch.device) -> _RandomState:
    return torch.get_rng_state(), [torch.cuda.get_rng_state(device)] if device.type == "cuda" else []


def _set_random_state(state: _RandomState, device: torch.device) -> None:
    torch.set_rng_state(state[0])
    for each in state[1]:
        torch.cuda.set_rng_state(each, device)


@contextmanager
def _replay(state: _RandomState, device: torch.device) -> Iterator[None]:
    """Draw the same random numbers again, as dropout does, during the block."""
    _set_random_state(state, device)
    yield
