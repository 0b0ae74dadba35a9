"""The training loop over epochs and batches of one worker. No Ray."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pipelines.errors import ConfigError
from pipelines.train.distributed import WorkerGroup
from pipelines.train.translators.pairs import TRAIN, VALIDATION, PairTable, iterate_batches
from pipelines.train.translators.stacked import StackedNets
from schemas.training import Experiment

_CHUNK = 4096
# Validation pairs at most: the standard error of a mean cosine is then below 0.002.
_VALIDATION_ROWS = 10_000


@dataclass(frozen=True, slots=True)
class EpochResult:
    """One epoch.

    Attributes:
        number: from 1.
        cosines: experiment -> mean cosine of the validation pairs.
        seconds: of training and validation.
        loading_s: seconds of it spent loading pairs.
    """

    number: int
    cosines: dict[str, float]
    seconds: float
    loading_s: float


def balance_groups(experiments: Sequence[Experiment], count: int) -> list[list[Experiment]]:
    """Split experiments into at most `count` groups of about equal cost; no group is empty.

    Each group trains in a thread of its own: experiments are independent, and two threads that share every
    matrix product synchronise 400 times a step. Experiments with dropout draw from PyTorch's global random
    stream, so they share a group.
    """
    groups: list[list[Experiment]] = [[] for _ in range(min(count, len(experiments)))]
    costs = [0] * len(groups)
    for experiment in sorted(experiments, key=lambda each: (not each.p_drop, -_estimate_cost(each))):
        cheapest = 0 if experiment.p_drop else costs.index(min(costs))
        groups[cheapest].append(experiment)
        costs[cheapest] += _estimate_cost(experiment)
    return [group for group in groups if group]


def _estimate_cost(experiment: Experiment) -> int:
    # Products at 512 dimensions: of three layers, of two a block, of transformer layers over four tokens.
    between = {"mlp": experiment.hidden, "residual_mlp": 4 * experiment.depth * experiment.hidden}
    return experiment.hidden * (1024 + between.get(experiment.net, 48 * experiment.depth * experiment.hidden))


def run_epochs(
    stacks: Sequence[StackedNets], table: PairTable, workers: WorkerGroup, done: int = 0
) -> Iterator[EpochResult]:
    """Train epoch by epoch, from the one after `done`, and yield the result of each.

    Args:
        stacks: nets that go through the same batches; if there are several, each in a thread of its own.
        table: the pairs.
        workers: the workers that share every batch; several stacks are for a group of one.
        done: completed epochs.

    Raises:
        ConfigError: there are fewer pairs than a batch, or none to validate on.
    """
    fit, device = stacks[0].fit, stacks[0].device
    train, held = table.find_rows(TRAIN), table.find_rows(VALIDATION)[:_VALIDATION_ROWS]
    if len(train) < fit.batch or not len(held):
        raise ConfigError(
            f"{len(train)} pairs to train on and {len(held)} to validate on are too few for batches of "
            f"{fit.batch} ({dict(table.dropped)} were dropped); take more rows, or a smaller fit.batch"
        )
    chunks = [
        load_tensors(table, held[start : start + _CHUNK], device) for start in range(0, len(held), _CHUNK)
    ]

    def run_epoch(stack: StackedNets, epoch: int) -> tuple[float, dict[str, float]]:
        return _train_epoch(stack, table, train, workers, epoch), stack.validate(epoch + 1, chunks)

    with ThreadPoolExecutor(len(stacks), thread_name_prefix="stack") as pool:
        for epoch in range(done, fit.epochs):
            began = time.perf_counter()
            with _use_bf16(fit.precision == "bf16" and torch.device(device).type == "cpu"):
                if len(stacks) == 1:
                    results = [run_epoch(stacks[0], epoch)]
                else:
                    results = [*pool.map(run_epoch, stacks, [epoch] * len(stacks))]
            seconds = time.perf_counter() - began
            cosines = {name: value for _, of_stack in results for name, value in of_stack.items()}
            yield EpochResult(epoch + 1, cosines, seconds, max(loading_s for loading_s, _ in results))


def _train_epoch(
    stack: StackedNets, table: PairTable, train: np.ndarray, workers: WorkerGroup, epoch: int
) -> float:
    """Train a stack on all batches of an epoch; return the seconds spent loading pairs."""
    fit, loading_s = stack.fit, 0.0
    steps = len(train) // fit.batch
    mapped = isinstance(table.source_NI, np.memmap)
    for step, rows in enumerate(iterate_batches(train, fit.batch, fit.order_seed, epoch, mapped=mapped)):
        began = time.perf_counter()
        x_NI, y_NO = load_tensors(table, rows[workers.slice_batch(fit.batch)], stack.device)
        loading_s += time.perf_counter() - began
        stack.train_step(x_NI, y_NO, (epoch + step / steps) / fit.epochs, workers)
    return loading_s


@contextmanager
def _use_bf16(enabled: bool) -> Iterator[None]:
    """Compute matrix products in bf16 on a CPU that has it; weights and sums stay fp32.

    oneDNN rounds inside its products, without autocast's copies of the weights. A CPU without bf16 computes
    in fp32 as before. The setting is process-wide.
    """
    matmul = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    before = matmul.fp32_precision
    if enabled:
        matmul.fp32_precision = "bf16"
    try:
        yield
    finally:
        matmul.fp32_precision = before


def load_tensors(table: PairTable, rows: np.ndarray, device: str) -> tuple[Tensor, Tensor]:
    """Return pairs on a device, float32 `[n, I]` and `[n, O]`."""
    source_NI, target_NO = table.get_pairs(rows)
    return torch.from_numpy(source_NI).to(device), torch.from_numpy(target_NO).to(device)
