"""Full batches for a net, assembled from the rows of all read batches and shards that a worker has open."""

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
from pipelines.encode.encoder import EncoderSpec, Tower, get_tower, pad_batch
from pipelines.errors import ConfigError
from schemas.families import Modality

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ForwardResult:
    """The output of one batch.

    Attributes:
        raw_BD: the raw vectors, float32.
        batch_rows: the size of the forwards: the space's, unless a GPU had no memory for so many rows.
    """

    raw_BD: np.ndarray
    batch_rows: int


@dataclass(frozen=True, slots=True)
class VectorSlot:
    """The place of a piece's vector: a row of a batch that may still be running."""

    result: Future[ForwardResult]
    row: int

    def wait_for_vector(self) -> np.ndarray:
        """Return the raw vector, float32 [D], once its batch has run; an error of the net is raised here."""
        raw_D: np.ndarray = self.result.result().raw_BD[self.row]
        return raw_D


@dataclass(slots=True)
class _OpenBatch:
    """A batch that has room."""

    pieces: list[np.ndarray] = field(default_factory=list)
    result: Future[ForwardResult] = field(default_factory=Future)


class BatchAssembler:
    """Collects pieces until a batch is full, and runs it.

    Pieces of another shape, such as longer texts, go into another batch. Once no producer is left, batches
    that are not full are padded: a net sees one batch size for each shape, so a vector depends on its own
    piece alone.

    Args:
        tower: the net.
        batch_rows: of every forward.
        dims: of its vectors; None to take them as they are.
    """

    def __init__(self, tower: Tower, batch_rows: int, dims: int | None = None) -> None:
        self._tower = tower
        self._dims = dims
        self._batch_rows = batch_rows
        self._forward_rows = batch_rows
        self._lock = threading.Lock()
        self._open: dict[tuple[int, ...], _OpenBatch] = {}
        self._producers = 0

    @contextmanager
    def accept_pieces(self) -> Iterator[None]:
        """Until the end of the block pieces may be added, and batches that are not full wait for them."""
        with self._lock:
            self._producers += 1
        try:
            yield
        finally:
            with self._lock:
                self._producers -= 1
                last = [] if self._producers else list(self._open.values())
                if last:
                    self._open = {}
            for batch in last:
                self._start(batch)

    def add(self, piece: np.ndarray) -> VectorSlot:
        """Put a piece into a batch, and start the batch if it is full; blocks while the forward pool is."""
        with self._lock:
            batch = self._open.setdefault(piece.shape, _OpenBatch())
            slot = VectorSlot(batch.result, len(batch.pieces))
            batch.pieces.append(piece)
            full = len(batch.pieces) == self._batch_rows
            if full:
                del self._open[piece.shape]
        if full:
            self._start(batch)
        return slot

    def _start(self, batch: _OpenBatch) -> None:
        def forward() -> None:
            try:
                batch.result.set_result(self._run(batch.pieces))
            except BaseException as error:  # raised again by those who wait for the vectors
                batch.result.set_exception(error)

        get_forward_pool().run(forward)

    def _run(self, pieces: list[np.ndarray]) -> ForwardResult:
        batch = np.stack(pieces)
        may_retry = True
        while True:
            rows = self._forward_rows
            try:
                return ForwardResult(self._forward(batch, rows), rows)
            except RuntimeError as error:
                if not is_out_of_memory(error) or (rows == 1 and not may_retry):
                    raise
            # Once more before halving: other batches may have freed their memory by now.
            if may_retry:
                may_retry = False
            elif self._forward_rows == rows:
                self._forward_rows = rows // 2
                _log.warning("no memory on the GPU for batches of %d: going on with %d", rows, rows // 2)

    def _forward(self, batch: np.ndarray, rows: int) -> np.ndarray:
        with timing.measure_time("encode"):
            parts = [batch[start : start + rows] for start in range(0, len(batch), rows)]
            raw_BD = np.concatenate(
                [self._tower.forward(pad_batch(part, rows))[: len(part)] for part in parts]
            )
        if self._dims is not None and raw_BD.shape[1:] != (self._dims,):
            raise ConfigError(
                f"an encoder's net gives vectors of the shape {raw_BD.shape[1:]} and its space has "
                f"{self._dims} numbers; check it with `echolens doctor --encoder`"
            )
        return raw_BD


def get_assembler(spec: EncoderSpec, modality: Modality) -> BatchAssembler:
    """Return the assembler of a net, which all shards of this process share."""
    tower = get_tower(spec, modality)
    settle()
    with _lock:
        if (spec, modality) not in _assemblers:
            _assemblers[spec, modality] = BatchAssembler(tower, spec.space.batch_rows, spec.space.dims)
        return _assemblers[spec, modality]


_lock = threading.Lock()
_assemblers: dict[tuple[EncoderSpec, Modality], BatchAssembler] = {}
