"""Full batches for a net, from the pieces of every row, read batch and shard that a worker has open."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from pipelines.compute import timing
from pipelines.compute.device import get_forward_pool, is_out_of_memory, settle
from pipelines.encode.encoder import EncoderSpec, Tower, pad_batch
from schemas.vectors import Modality

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ForwardResult:
    """What a forward gave.

    Attributes:
        raw_BD: the raw vectors, float32.
        batch_rows: of the forwards that made them: the space's, unless a GPU had no room for so many.
    """

    raw_BD: np.ndarray
    batch_rows: int


@dataclass(frozen=True, slots=True)
class VectorSlot:
    """Where the vector of a piece will be."""

    made: Future[ForwardResult]
    row: int


@dataclass(slots=True)
class _Filling:
    """A batch that has room."""

    pieces: list[np.ndarray] = field(default_factory=list)
    made: Future[ForwardResult] = field(default_factory=Future)


class BatchAssembler:
    """Collects pieces until a batch is full, and runs it.

    Pieces of another shape, as of a longer text, fill another batch. A batch that nobody can fill any more
    is filled up: the net sees one size of batch for each shape, so a vector depends on its own piece alone.
    """

    def __init__(self, tower: Tower, batch_rows: int) -> None:
        self._tower = tower
        self._rows = batch_rows
        self._fits = batch_rows
        self._lock = threading.Lock()
        self._filling: dict[tuple[int, ...], _Filling] = {}
        self._feeders = 0

    @contextmanager
    def feeding(self) -> Iterator[None]:
        """For as long as the block lasts, pieces may be added and batches wait for more of them."""
        with self._lock:
            self._feeders += 1
        try:
            yield
        finally:
            with self._lock:
                self._feeders -= 1
                last = [] if self._feeders else list(self._filling.values())
                if last:
                    self._filling = {}
            for filling in last:
                self._start(filling)

    def add(self, piece: np.ndarray) -> VectorSlot:
        """Put a piece into a batch; the last one to fit starts it, and waits while enough are under way."""
        with self._lock:
            filling = self._filling.setdefault(piece.shape, _Filling())
            place = VectorSlot(filling.made, len(filling.pieces))
            filling.pieces.append(piece)
            full = len(filling.pieces) == self._rows
            if full:
                del self._filling[piece.shape]
        if full:
            self._start(filling)
        return place

    def _start(self, filling: _Filling) -> None:
        def forward() -> None:
            try:
                filling.made.set_result(self._made(filling.pieces))
            except BaseException as error:  # raised again by whoever wants the vectors
                filling.made.set_exception(error)

        get_forward_pool().run(forward)

    def _made(self, pieces: list[np.ndarray]) -> ForwardResult:
        batch = np.stack(pieces)
        again = True
        while True:
            rows = self._fits
            try:
                return ForwardResult(self._raw(batch, rows), rows)
            except RuntimeError as error:
                if not is_out_of_memory(error) or (rows == 1 and not again):
                    raise
            # Once more before halving: what other batches held is free by now.
            if again:
                again = False
            elif self._fits == rows:
                self._fits = rows // 2
                _log.warning("no memory on the GPU for batches of %d: going on with %d", rows, rows // 2)

    def _raw(self, batch: np.ndarray, rows: int) -> np.ndarray:
        with timing.measure_time("encode"):
            parts = [batch[start : start + rows] for start in range(0, len(batch), rows)]
            return np.concatenate([self._tower.forward(pad_batch(part, rows))[: len(part)] for part in parts])


def get_batches(spec: EncoderSpec, modality: Modality) -> BatchAssembler:
    """Return the batches of a net, which all shards of this process share."""
    tower = spec.open()[modality]
    settle()
    with _opening:
        if (spec, modality) not in _opened:
            _opened[spec, modality] = BatchAssembler(tower, spec.space.batch_rows)
        return _opened[spec, modality]


_opening = threading.Lock()
_opened: dict[tuple[EncoderSpec, Modality], BatchAssembler] = {}
