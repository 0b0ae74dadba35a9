"""The loop over epochs and batches, for one worker of a gang. No Ray."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from pipelines.errors import ConfigError
from pipelines.train.gang import Gang
from pipelines.train.pairs import TRAIN, VALIDATION, PairTable, batches
from pipelines.train.together import SHAPE, Together, parted_by
from schemas.training import Cell

_CHUNK = 4096
# Steps of a lane before another may have its thread.
_TURN = 16
# Held-out pairs beyond this say nothing new: the standard error of a mean cosine is below 0.002.
_VALIDATED = 10_000


@dataclass(frozen=True, slots=True)
class Epoch:
    """What an epoch brought. `cosines` is cell -> mean cosine of the validation pairs."""

    number: int
    cosines: dict[str, float]
    seconds: float
    loading_s: float


def parted(cells: Sequence[Cell], threads: int) -> list[list[Cell]]:
    """Part cells into lanes, none of them more than a thread's share of the work if that can be.

    Lanes run side by side: cells have nothing to say to each other, and two threads that share every product
    wait for each other 400 times a step. Cells of one shape stay together, for theirs are larger products.
    Cells with dropout draw from PyTorch's one stream of random numbers, so they share a lane.
    """
    if threads == 1:
        return [list(cells)]
    share = sum(map(_cost, cells)) / threads
    dropped = [cell for cell in cells if cell.p_drop]
    units = [dropped] if dropped else []
    for _, alike in parted_by(SHAPE, [cell for cell in cells if not cell.p_drop]):
        size = max(1, int(share // _cost(alike[0])))
        units += [alike[at : at + size] for at in range(0, len(alike), size)]
    lanes: list[list[Cell]] = []
    for unit in sorted(units, key=_work, reverse=True):
        room = (lane for lane in lanes if _work(lane) + _work(unit) <= share)
        if (lane := next(room, None)) is None:
            lanes.append([*unit])
        else:
            lane += unit
    return lanes


def _work(cells: Sequence[Cell]) -> int:
    return sum(map(_cost, cells))


def _cost(cell: Cell) -> int:
    # Of 512 dimensions: products of three layers, of two a block, of a transformer's layers over four tokens.
    between = {"mlp": cell.hidden, "residual_mlp": 4 * cell.depth * cell.hidden}
    return cell.hidden * (1024 + between.get(cell.net, 48 * cell.depth * cell.hidden))


def epochs(
    lanes: Sequence[Together], table: PairTable, gang: Gang, done: int = 0, threads: int = 1
) -> Iterator[Epoch]:
    """Train epoch by epoch, from the one after `done`, and yield what each brought.

    Args:
        lanes: cells that go through the same batches.
        table: the pairs.
        gang: the workers that share every batch; several lanes are for a gang of one.
        done: epochs that are behind.
        threads: that the lanes take turns in.

    Raises:
        ConfigError: there are fewer pairs than a batch, or none to validate on.
    """
    fit, device = lanes[0].fit, lanes[0].device
    train, held = table.rows(TRAIN), table.rows(VALIDATION)[:_VALIDATED]
    if len(train) < fit.batch or not len(held):
        raise ConfigError(
            f"{len(train)} pairs to train on and {len(held)} to validate on are too few for batches of "
            f"{fit.batch} ({dict(table.dropped)} were dropped); take more rows, or a smaller fit.batch"
        )
    chunks = [_tensors(table, held[start : start + _CHUNK], device) for start in range(0, len(held), _CHUNK)]

    def keep_best(lane: Together, epoch: int) -> dict[str, float]:
        return lane.keep_best(epoch, chunks)

    threads = min(threads, len(lanes))
    with ThreadPoolExecutor(threads, thread_name_prefix="lane") as pool:
        for epoch in range(done, fit.epochs):
            began = time.perf_counter()
            passes = [_pass(lane, table, train, gang, epoch) for lane in lanes]
            with _rounded(fit.precision == "bf16" and torch.device(device).type == "cpu"):
                loading_s = _in_turns(passes, pool, threads)
            each = (map if threads == 1 else pool.map)(keep_best, lanes, [epoch + 1] * len(lanes))
            cosines = {name: value for found in each for name, value in found.items()}
            yield Epoch(epoch + 1, cosines, time.perf_counter() - began, loading_s / threads)


def _in_turns(passes: Sequence[Iterator[float]], pool: Executor, threads: int) -> float:
    """Bring passes to their ends and return the sum of what they yield.

    Lanes wait in a line for the next free thread and leave it after a few steps. Six cells in lanes of 47, 29
    and 24 % of the work end together in two threads; two lanes, of 47 and 53 %, would wait for the longer.
    """
    line, spent = deque(passes), []

    def work() -> None:
        while True:
            try:
                one = line.popleft()
            except IndexError:
                return
            took = [*islice(one, _TURN)]
            spent.append(sum(took))
            if len(took) == _TURN:
                line.append(one)

    if threads == 1:
        work()
    else:
        for worker in [pool.submit(work) for _ in range(threads)]:
            worker.result()
    return sum(spent)


def _pass(lane: Together, table: PairTable, train: np.ndarray, gang: Gang, epoch: int) -> Iterator[float]:
    """Take one lane through all batches of an epoch; yield the seconds that each took to load."""
    fit = lane.fit
    steps = len(train) // fit.batch
    mapped = isinstance(table.source_NI, np.memmap)
    for step, rows in enumerate(batches(train, fit.batch, fit.order_seed, epoch, mapped=mapped)):
        asked = time.perf_counter()
        x_NI, y_NO = _tensors(table, rows[gang.share(fit.batch)], lane.device)
        loading_s = time.perf_counter() - asked
        lane.step(x_NI, y_NO, (epoch + step / steps) / fit.epochs, gang)
        yield loading_s


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
    source_NI, target_NO = table.pairs(rows)
    return torch.from_numpy(source_NI).to(device), torch.from_numpy(target_NO).to(device)
