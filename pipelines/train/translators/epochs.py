"""The loop over epochs and batches, for one worker of a group. No Ray."""

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
# Held-out pairs beyond this say nothing new: the standard error of a mean cosine is below 0.002.
_VALIDATED = 10_000


@dataclass(frozen=True, slots=True)
class EpochResult:
    """What an epoch brought. `cosines` is cell -> mean cosine of the validation pairs."""

    number: int
    cosines: dict[str, float]
    seconds: float
    loading_s: float


def balance_groups(cells: Sequence[Experiment], lanes: int) -> list[list[Experiment]]:
    """Part cells into lanes that take about as long as each other; no lane is empty.

    Lanes run side by side, a thread each: cells have nothing to say to each other, and two threads that
    share every product wait for each other 400 times a step. Cells with dropout draw from PyTorch's one
    stream of random numbers, so they share a lane.
    """
    parts: list[list[Experiment]] = [[] for _ in range(min(lanes, len(cells)))]
    costs = [0] * len(parts)
    for cell in sorted(cells, key=lambda cell: (not cell.p_drop, -_cost(cell))):
        at = 0 if cell.p_drop else costs.index(min(costs))
        parts[at].append(cell)
        costs[at] += _cost(cell)
    return [part for part in parts if part]


def _cost(cell: Experiment) -> int:
    # Of 512 dimensions: products of three layers, of two a block, of a transformer's layers over four tokens.
    between = {"mlp": cell.hidden, "residual_mlp": 4 * cell.depth * cell.hidden}
    return cell.hidden * (1024 + between.get(cell.net, 48 * cell.depth * cell.hidden))


def run_epochs(
    lanes: Sequence[StackedNets], table: PairTable, workers: WorkerGroup, done: int = 0
) -> Iterator[EpochResult]:
    """Train epoch by epoch, from the one after `done`, and yield what each brought.

    Args:
        lanes: cells that go through the same batches, each lane in a thread of its own if there are several.
        table: the pairs.
        workers: the workers that share every batch; several lanes are for a group of one.
        done: epochs that are behind.

    Raises:
        ConfigError: there are fewer pairs than a batch, or none to validate on.
    """
    fit, device = lanes[0].fit, lanes[0].device
    train, held = table.find_rows(TRAIN), table.find_rows(VALIDATION)[:_VALIDATED]
    if len(train) < fit.batch or not len(held):
        raise ConfigError(
            f"{len(train)} pairs to train on and {len(held)} to validate on are too few for batches of "
            f"{fit.batch} ({dict(table.dropped)} were dropped); take more rows, or a smaller fit.batch"
        )
    chunks = [_tensors(table, held[start : start + _CHUNK], device) for start in range(0, len(held), _CHUNK)]

    def through(lane: StackedNets, epoch: int) -> tuple[float, dict[str, float]]:
        return _pass(lane, table, train, workers, epoch), lane.keep_best(epoch + 1, chunks)

    with ThreadPoolExecutor(len(lanes), thread_name_prefix="lane") as pool:
        for epoch in range(done, fit.epochs):
            began = time.perf_counter()
            with _rounded(fit.precision == "bf16" and torch.device(device).type == "cpu"):
                if len(lanes) == 1:
                    passes = [through(lanes[0], epoch)]
                else:
                    passes = [*pool.map(through, lanes, [epoch] * len(lanes))]
            seconds = time.perf_counter() - began
            cosines = {name: value for _, found in passes for name, value in found.items()}
            yield EpochResult(epoch + 1, cosines, seconds, max(loading_s for loading_s, _ in passes))


def _pass(lane: StackedNets, table: PairTable, train: np.ndarray, workers: WorkerGroup, epoch: int) -> float:
    """Take one lane through all batches of an epoch; return the seconds that went into loading pairs."""
    fit, loading_s = lane.fit, 0.0
    steps = len(train) // fit.batch
    mapped = isinstance(table.source_NI, np.memmap)
    for step, rows in enumerate(iterate_batches(train, fit.batch, fit.order_seed, epoch, mapped=mapped)):
        asked = time.perf_counter()
        x_NI, y_NO = _tensors(table, rows[workers.slice_batch(fit.batch)], lane.device)
        loading_s += time.perf_counter() - asked
        lane.train_step(x_NI, y_NO, (epoch + step / steps) / fit.epochs, workers)
    return loading_s


@contextmanager
def _rounded(narrow: bool) -> Iterator[None]:
    """Compute the products of the block in bf16 on a CPU that can; weights and sums stay fp32.

    oneDNN rounds inside its products, which needs none of autocast's copies of the weights. A CPU without
    bf16 computes in fp32 as before. The setting is the whole process's.
    """
    products = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    before = products.fp32_precision
    if narrow:
        products.fp32_precision = "bf16"
    try:
        yield
    finally:
        products.fp32_precision = before


def _tensors(table: PairTable, rows: np.ndarray, device: str) -> tuple[Tensor, Tensor]:
    source_NI, target_NO = table.get_pairs(rows)
    return torch.from_numpy(source_NI).to(device), torch.from_numpy(target_NO).to(device)
