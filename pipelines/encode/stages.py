"""Two stages for each kind of row: `DecodeStage` preprocesses in threads, `EncodeStage` runs the nets."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field

import numpy as np

from pipelines.compute import timing
from pipelines.compute.device import get_decode_pool
from pipelines.encode.batch_assembler import BatchAssembler, VectorSlot, get_assembler
from pipelines.encode.encoder import (
    EncoderSpecs,
    Tower,
    find_spec,
    get_spaces,
    open_tower,
    pool_pieces,
)
from pipelines.encode.loaders.decode_cache import share_decoded
from pipelines.encode.windows import STARTS, collect_windows, locate_windows
from pipelines.errors import UndecodableMediaError
from pipelines.stage import Batch, count_rows
from pipelines.store.windows import WINDOWS
from schemas.candidate import Kind
from schemas.families import Column, Modality, get_modality, is_embedded
from schemas.outcome import OK, Outcome, make_outcome
from schemas.sample import FRAMES

_log = logging.getLogger(__name__)

# The members of a sample that a column is made from; texts are made from the caption.
_MEMBERS: Mapping[tuple[Kind, Modality], tuple[str, ...]] = {
    ("image", "image"): ("jpg",),
    ("clip", "image"): FRAMES,
    ("clip", "audio"): ("flac",),
}


# Rows of one task of a thread: with fewer, the handover would cost more than a caption.
_TASK_ROWS = 4

# Read batches that are decoded at once, so that threads have work while the last rows of one finish.
_READ_AHEAD = 2


def _list_columns(kind: Kind, specs: EncoderSpecs) -> tuple[Column, ...]:
    return tuple(column for column in get_spaces(specs) if is_embedded(kind, column))


def _get_prepared_name(column: Column) -> str:
    return f"{column}_prepared"


@dataclass(frozen=True)
class DecodeStage:
    """Preprocesses media and captions into `COLUMN_prepared`, the input of the nets, and drops the media.

    Attributes:
        kind: of the rows.
        specs: the encoders, by the keys of the dataset's file.
        threads: how many decode at once; as many as the worker has cores if None.
        windowed: the column of sounds whose windows are kept, if they are.
    """

    kind: Kind
    specs: EncoderSpecs = field(hash=False)
    threads: int | None = None
    windowed: Column | None = None

    @property
    def name(self) -> str:
        """The word for it in progress and profiles."""
        return "decode"

    @property
    def reads(self) -> frozenset[str]:
        """Outcome, caption and the media of the kind."""
        width = frozenset({"width"}) if self.kind == "clip" else frozenset[str]()
        return frozenset({"outcome", "reason", "caption"}) | width | self.members

    @property
    def adds(self) -> frozenset[str]:
        """The prepared columns; the media become None."""
        prepared = map(_get_prepared_name, _list_columns(self.kind, self.specs))
        starts = {STARTS} if self.windowed else set[str]()
        return frozenset({"outcome", "reason", *prepared, *starts}) | self.members

    @property
    def members(self) -> frozenset[str]:
        """The media that the columns are made from."""
        columns = _list_columns(self.kind, self.specs)
        modalities = {get_modality(column) for column in columns}
        return frozenset(name for modality in modalities for name in _MEMBERS.get((self.kind, modality), ()))

    def open(self) -> _DecodeWork:
        """Load the encoders and start the threads."""
        columns = _list_columns(self.kind, self.specs)
        towers = {column: open_tower(self.specs, column) for column in columns}
        return _DecodeWork(self, towers, get_decode_pool(self.threads))

    def decode_row(
        self, towers: Mapping[Column, Tower], batch: Batch, row: int
    ) -> tuple[dict[Column, np.ndarray], Outcome]:
        """Return the pieces of a row by column, and its outcome.

        Args:
            towers: the tower of each column.
            batch: holds the row.
            row: its index in the batch.
        """
        outcome = Outcome(batch["outcome"][row], batch["reason"][row])
        if outcome != OK:
            return {}, outcome
        try:
            pieces = {
                column: np.concatenate([tower.prepare(item) for item in items])
                for column, tower in towers.items()
                if (items := self._select_items(column, batch, row))
            }
        except UndecodableMediaError as error:
            return {}, make_outcome("invalid", error.reason)
        except Exception:
            _log.exception("a row of kind %s could not be prepared", self.kind)
            return {}, make_outcome("failed", "bug")
        return pieces, OK

    def _select_items(self, column: Column, batch: Batch, row: int) -> list[bytes] | list[str]:
        """Return the input of a column: nothing for a blank caption or a clip without pictures."""
        modality = get_modality(column)
        # A clip of sound alone has blank frames, and its width is null.
        if (self.kind, modality) == ("clip", "image") and batch["width"][row] is None:
            return []
        frame = batch.get("frame", {row: None})[row]
        if modality == "image" and frame is not None:
            return [batch[FRAMES[frame]][row]]
        if members := _MEMBERS.get((self.kind, modality)):
            return [batch[member][row] for member in members]
        caption: str = batch["caption"][row]
        return [caption] if caption.strip() else []


_DecodedRow = tuple[dict[Column, np.ndarray], Outcome, np.ndarray | None]


@dataclass(frozen=True)
class _DecodeWork:
    """The work of `DecodeStage`: rows are given to the threads while those of the last batch are decoded."""

    stage: DecodeStage
    towers: Mapping[Column, Tower]
    threads: ThreadPoolExecutor

    def __call__(self, batch: Batch) -> Batch:
        return self._collect(batch, self._submit(batch))

    def process(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        pending: deque[tuple[Batch, list[Future[list[_DecodedRow]]]]] = deque()
        for batch in batches:
            pending.append((batch, self._submit(batch)))
            if len(pending) == _READ_AHEAD:
                yield self._collect(*pending.popleft())
        while pending:
            yield self._collect(*pending.popleft())

    def _submit(self, batch: Batch) -> list[Future[list[_DecodedRow]]]:
        starts = range(0, count_rows(batch), _TASK_ROWS)
        return [self.threads.submit(self._decode_rows, batch, start) for start in starts]

    def _decode_rows(self, batch: Batch, start: int) -> list[_DecodedRow]:
        with timing.measure_time("decode"):
            rows = []
            for row in range(start, min(start + _TASK_ROWS, count_rows(batch))):
                with share_decoded():
                    pieces, outcome = self.stage.decode_row(self.towers, batch, row)
                    rows.append((pieces, outcome, self._locate_windows(batch, row, pieces)))
            return rows

    def _locate_windows(
        self, batch: Batch, row: int, pieces: Mapping[Column, np.ndarray]
    ) -> np.ndarray | None:
        column = self.stage.windowed
        if column is None or column not in pieces:
            return None
        segment_start_s = batch.get("segment_start_s", {row: None})[row]
        return locate_windows(self.towers[column], batch["flac"][row], len(pieces[column]), segment_start_s)

    def _collect(self, batch: Batch, tasks: list[Future[list[_DecodedRow]]]) -> Batch:
        rows = [row for task in tasks for row in task.result()]
        result = batch | {name: [None] * count_rows(batch) for name in self.stage.members}
        for column in self.towers:
            result[_get_prepared_name(column)] = [pieces.get(column) for pieces, _, _ in rows]
        result["outcome"] = [outcome.status for _, outcome, _ in rows]
        result["reason"] = [outcome.reason for _, outcome, _ in rows]
        if self.stage.windowed:
            result[STARTS] = [starts for _, _, starts in rows]
        return result


@dataclass(frozen=True)
class EncodeStage:
    """Prepared columns -> unit vectors, `COLUMN` (float16 [D] or None) and `COLUMN_norm`.

    Attributes:
        kind: of the rows.
        specs: the encoders, by the keys of the dataset's file.
        windowed: the column of sounds whose windows are kept, if they are.
    """

    kind: Kind
    specs: EncoderSpecs = field(hash=False)
    windowed: Column | None = None

    @property
    def name(self) -> str:
        """The word for it in progress and profiles."""
        return "encode"

    @property
    def reads(self) -> frozenset[str]:
        """What `DecodeStage` adds."""
        prepared = map(_get_prepared_name, _list_columns(self.kind, self.specs))
        starts = {STARTS} if self.windowed else set[str]()
        return frozenset({"outcome", "reason", *prepared, *starts})

    @property
    def adds(self) -> frozenset[str]:
        """The vectors, their norms and batch sizes; the prepared columns become None."""
        columns = _list_columns(self.kind, self.specs)
        windows = {WINDOWS} if self.windowed else set[str]()
        return self.reads | windows | {name for column in columns for name in _list_output_names(column)}

    def open(self) -> _EncodeWork:
        """Load the encoders."""
        columns = _list_columns(self.kind, self.specs)
        return _EncodeWork(
            {
                column: get_assembler(find_spec(self.specs, column), get_modality(column))
                for column in columns
            },
            self.windowed,
        )


def _list_output_names(column: Column) -> tuple[str, str, str]:
    return column, f"{column}_norm", f"{column}_batch_rows"


@dataclass
class _PendingBatch:
    """A read batch whose pieces the nets have not finished; a row has the slots of its pieces, or None."""

    batch: Batch
    slots: dict[Column, list[list[VectorSlot] | None]]
    windowed: Column | None

    def is_done(self) -> bool:
        """Return whether nothing is left to wait for."""
        # From the end, because the last pieces are encoded last.
        return all(
            slot.result.done()
            for rows in self.slots.values()
            for slots in reversed(rows)
            for slot in slots or ()
        )

    def wait_for_rows(self) -> Batch:
        """Wait for the vectors and return the rows with them."""
        result = dict(self.batch)
        failed: set[int] = set()
        for column, rows in self.slots.items():
            failed |= _fill_column(result, column, rows)
        if self.windowed:
            rows = self.slots.get(self.windowed, [None] * count_rows(result))
            result[WINDOWS] = [collect_windows(*row) for row in zip(result[STARTS], rows, strict=True)]
        return _remove_vectors(result, failed, tuple(self.slots))


@dataclass(frozen=True)
class _EncodeWork:
    """The work of `EncodeStage`: batches of the nets are filled across rows, read batches and shards."""

    assemblers: Mapping[Column, BatchAssembler]
    windowed: Column | None = None

    def __call__(self, batch: Batch) -> Batch:
        return next(self.process(iter([batch])))

    def process(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        pending: deque[_PendingBatch] = deque()
        with ExitStack() as producing:
            for assembler in self.assemblers.values():
                producing.enter_context(assembler.accept_pieces())
            for batch in batches:
                pending.append(self._add_pieces(batch))
                while pending and pending[0].is_done():
                    yield pending.popleft().wait_for_rows()
        while pending:
            yield pending.popleft().wait_for_rows()

    def _add_pieces(self, batch: Batch) -> _PendingBatch:
        slots: dict[Column, list[list[VectorSlot] | None]] = {}
        rest = dict(batch)
        for column, assembler in self.assemblers.items():
            slots[column] = [
                None if pieces is None else [assembler.add(piece) for piece in pieces]
                for pieces in batch[_get_prepared_name(column)]
            ]
            rest[_get_prepared_name(column)] = [None] * count_rows(batch)
        return _PendingBatch(rest, slots, self.windowed)


def _fill_column(batch: Batch, column: Column, rows: list[list[VectorSlot] | None]) -> set[int]:
    """Add a column, its norms and batch sizes; return the rows whose vector has no direction."""
    vectors: list[np.ndarray | None] = [None] * len(rows)
    norms: list[float | None] = [None] * len(rows)
    sizes: list[int | None] = [None] * len(rows)
    filled = {row: slots for row, slots in enumerate(rows) if slots}
    failed: set[int] = set()
    if filled:
        raw_MD = np.stack([slot.wait_for_vector() for slots in filled.values() for slot in slots])
        unit_ND, norms_N = pool_pieces(raw_MD, [len(slots) for slots in filled.values()])
        for row, vector_D, norm in zip(filled, unit_ND.astype(np.float16), norms_N, strict=True):
            vectors[row], norms[row] = vector_D, float(norm)
            sizes[row] = min(slot.result.result().batch_rows for slot in filled[row])
            if not np.isfinite(norm) or norm == 0:
                failed.add(row)
    batch |= dict(zip(_list_output_names(column), (vectors, norms, sizes), strict=True))
    return failed


def _remove_vectors(batch: Batch, failed: set[int], columns: tuple[Column, ...]) -> Batch:
    """Give failed rows an outcome in place of vectors: zeros or NaN would spoil any search."""
    if not failed:
        return batch
    outcome = make_outcome("failed", "no_vector")
    changed = dict.fromkeys(name for column in columns for name in _list_output_names(column)) | {
        **({WINDOWS: None} if WINDOWS in batch else {}),
        "outcome": outcome.status,
        "reason": outcome.reason,
    }
    return batch | {
        name: [value if row in failed else old for row, old in enumerate(batch[name])]
        for name, value in changed.items()
    }
