"""The loop over epochs and batches, for one worker of a gang. No Ray."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pipelines.errors import ConfigError
from pipelines.train.gang import Gang
from pipelines.train.pairs import TRAIN, VALIDATION, PairTable, batches
from pipelines.train.together import Together

_CHUNK = 4096
# Held-out pairs beyond this say nothing new: the standard error of a mean cosine is below 0.002.
_VALIDATED = 10_000


@dataclass(frozen=True, slots=True)
class Epoch:
    """What an epoch brought. `cosines` is cell -> mean cosine of the validation pairs."""

    number: int
    cosines: dict[str, float]
    seconds: float
    loading_s: float


def epochs(together: Together, table: PairTable, gang: Gang, done: int = 0) -> Iterator[Epoch]:
    """Train epoch by epoch, from the one after `done`, and yield what each brought.

    Raises:
        ConfigError: there are fewer pairs than a batch, or none to validate on.
    """
    fit = together.fit
    train, held = table.rows(TRAIN), table.rows(VALIDATION)[:_VALIDATED]
    if len(train) < fit.batch or not len(held):
        raise ConfigError(
            f"{len(train)} pairs to train on and {len(held)} to validate on are too few for batches of "
            f"{fit.batch} ({dict(table.dropped)} were dropped); take more rows, or a smaller fit.batch"
        )
    chunks = [
        _tensors(table, held[start : start + _CHUNK], together.device)
        for start in range(0, len(held), _CHUNK)
    ]
    steps = len(train) // fit.batch
    mapped = isinstance(table.source_NI, np.memmap)
    for epoch in range(done, fit.epochs):
        began, loading_s = time.perf_counter(), 0.0
        for step, rows in enumerate(batches(train, fit.batch, fit.order_seed, epoch, mapped=mapped)):
            asked = time.perf_counter()
            x_NI, y_NO = _tensors(table, rows[gang.share(fit.batch)], together.device)
            loading_s += time.perf_counter() - asked
            together.step(x_NI, y_NO, (epoch + step / steps) / fit.epochs, gang)
        seconds = time.perf_counter() - began
        yield Epoch(epoch + 1, together.keep_best(epoch + 1, chunks), seconds, loading_s)


def _tensors(table: PairTable, rows: np.ndarray, device: str) -> tuple[Tensor, Tensor]:
    source_NI, target_NO = table.pairs(rows)
    return torch.from_numpy(source_NI).to(device), torch.from_numpy(target_NO).to(device)
