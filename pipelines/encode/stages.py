"""Two stages for each kind of row: `DecodeStage` decodes in threads, `EncodeStage` runs the nets."""

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
from pipelines.encode.batch_assembler import BatchAssembler, VectorSlot, get_batches
from pipelines.encode.encoder import EncoderSpecs, Tower, pool_pieces
from pipelines.encode.loaders.decode_cache import share_decoded
from pipelines.errors import UndecodableMediaError
from pipelines.stage import Batch, count_rows
from schemas.candidate import Kind
from schemas.outcome import OK, Outcome, make_outcome
from schemas.sample import FRAMES
from schemas.vectors import COLUMNS_OF, Column, family_of, modality_of

_log = logging.getLogger(__name__)

# The members of a sample that a column is made from; texts are made from the caption.
_MEMBERS: Mapping[tuple[Kind, Column], tuple[str, ...]] = {
    ("image", "clip_image"): ("jpg",),
    ("clip", "clip_image"): FRAMES,
    ("clip", "clap_audio"): ("flac",),
}


# Rows that one thread decodes before the next task: fewer would cost more in handing over than a caption.
_AT_ONCE = 4

# Read batches that may be decoded at once, so that threads find work while the last rows of one are made.
_UNDER_WAY = 2


def _columns(kind: Kind, specs: EncoderSpecs) -> tuple[Column, ...]:
    return tuple(column for column in COLUMNS_OF[kind] if family_of(column) in specs)


def _prepared(column: Column) -> str:
    return f"{column}_prepared"


@dataclass(frozen=True)
class DecodeStage:
    """Media and captions -> what the nets take, `COLUMN_prepared`; the media are let go.

    Attributes:
        kind: of the rows.
        specs: the encoders, by family.
        threads: that decode at once; as many as the worker has cores if None.
    """

    kind: Kind
    specs: EncoderSpecs = field(hash=False)
    threads: int | None = None

    @property
    def name(self) -> str:
        """The word for it in progress and profiles."""
        return "decode"

    @property
    def reads(self) -> frozenset[str]:
        """Outcome, caption and the members of the kind."""
        width = frozenset({"width"}) if self.kind == "clip" else frozenset[str]()
        return frozenset({"outcome", "reason", "caption"}) | width | self.members

    @property
    def adds(self) -> frozenset[str]:
        """The prepared columns; the members become None."""
        prepared = map(_prepared, _columns(self.kind, self.specs))
        return frozenset({"outcome", "reason", *prepared}) | self.members

    @property
    def members(self) -> frozenset[str]:
        """The media that the columns are made from."""
        columns = _columns(self.kind, self.specs)
        return frozenset(name for column in columns for name in _MEMBERS.get((self.kind, column), ()))

    def open(self) -> _Decoding:
        """Load the encoders and start the threads."""
        columns = _columns(self.kind, self.specs)
        towers = {column: self.specs[family_of(column)].open()[modality_of(column)] for column in columns}
        return _Decoding(self, towers, get_decode_pool(self.threads))

    def row(
        self, towers: Mapping[Column, Tower], batch: Batch, row: int
    ) -> tuple[dict[Column, np.ndarray], Outcome]:
        """Return the pieces of a row by column, and what became of it."""
        before = Outcome(batch["outcome"][row], batch["reason"][row])
        if before != OK:
            return {}, before
        try:
            pieces = {
                column: np.concatenate([tower.prepare(item) for item in items])
                for column, tower in towers.items()
                if (items := self._items(column, batch, row))
            }
        except UndecodableMediaError as unusable:
            return {}, make_outcome("invalid", unusable.reason)
        except Exception:
            _log.exception("a row of kind %s could not be prepared", self.kind)
            return {}, make_outcome("failed", "bug")
        return pieces, OK

    def _items(self, column: Column, batch: Batch, row: int) -> list[bytes] | list[str]:
        """What a column of a row is made from; a blank caption and a clip without pictures make nothing."""
        # The frames of sound alone are blank, and its width is null.
        if (self.kind, column) == ("clip", "clip_image") and batch["width"][row] is None:
            return []
        chosen = batch.get("frame", {row: None})[row]
        if column == "clip_image" and chosen is not None:
            return [batch[FRAMES[chosen]][row]]
        if members := _MEMBERS.get((self.kind, column)):
            return [batch[member][row] for member in members]
        caption: str = batch["caption"][row]
        return [caption] if caption.strip() else []


_Row = tuple[dict[Column, np.ndarray], Outcome]


@dataclass(frozen=True)
class _Decoding:
    """The work of `DecodeStage`: rows go to the threads while those of the batch before are still there."""

    stage: DecodeStage
    towers: Mapping[Column, Tower]
    threads: ThreadPoolExecutor

    def __call__(self, batch: Batch) -> Batch:
        return self._done(batch, self._begun(batch))

    def process(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        under_way: deque[tuple[Batch, list[Future[list[_Row]]]]] = deque()
        for batch in batches:
            under_way.append((batch, self._begun(batch)))
            if len(under_way) == _UNDER_WAY:
                yield self._done(*under_way.popleft())
        while under_way:
            yield self._done(*under_way.popleft())

    def _begun(self, batch: Batch) -> list[Future[list[_Row]]]:
        starts = range(0, count_rows(batch), _AT_ONCE)
        return [self.threads.submit(self._decoded, batch, start) for start in starts]

    def _decoded(self, batch: Batch, start: int) -> list[_Row]:
        with timing.measure_time("decode"):
            made = []
            for row in range(start, min(start + _AT_ONCE, count_rows(batch))):
                with share_decoded():
                    made.append(self.stage.row(self.towers, batch, row))
            return made

    def _done(self, batch: Batch, begun: list[Future[list[_Row]]]) -> Batch:
        made = [row for few in begun for row in few.result()]
        result = batch | {name: [None] * count_rows(batch) for name in self.stage.members}
        for column in self.towers:
            result[_prepared(column)] = [pieces.get(column) for pieces, _ in made]
        result["outcome"] = [became.status for _, became in made]
        result["reason"] = [became.reason for _, became in made]
        return result


@dataclass(frozen=True)
class EncodeStage:
    """Prepared columns -> unit vectors, `COLUMN` (float16 [D] or None) and `COLUMN_norm`.

    Attributes:
        kind: of the rows.
        specs: the encoders, by family.
    """

    kind: Kind
    specs: EncoderSpecs = field(hash=False)

    @property
    def name(self) -> str:
        """The word for it in progress and profiles."""
        return "encode"

    @property
    def reads(self) -> frozenset[str]:
        """What `DecodeStage` adds."""
        prepared = map(_prepared, _columns(self.kind, self.specs))
        return frozenset({"outcome", "reason", *prepared})

    @property
    def adds(self) -> frozenset[str]:
        """The vectors, their norms and batch sizes; the prepared columns become None."""
        columns = _columns(self.kind, self.specs)
        return self.reads | frozenset(name for column in columns for name in _made_of(column))

    def open(self) -> _Encoding:
        """Load the encoders."""
        columns = _columns(self.kind, self.specs)
        return _Encoding(
            {column: get_batches(self.specs[family_of(column)], modality_of(column)) for column in columns}
        )


def _made_of(column: Column) -> tuple[str, str, str]:
    return column, f"{column}_norm", f"{column}_batch_rows"


@dataclass
class _UnderWay:
    """A read batch whose pieces are on their way through the nets; a row has places, or None."""

    batch: Batch
    places: dict[Column, list[list[VectorSlot] | None]]

    def is_made(self) -> bool:
        """Return whether nothing is left to wait for."""
        # From the end: the last pieces are made last.
        return all(
            place.made.done()
            for of_rows in self.places.values()
            for places in reversed(of_rows)
            for place in places or ()
        )

    def result(self) -> Batch:
        """Wait for the vectors and return the rows with them."""
        result = dict(self.batch)
        lost: set[int] = set()
        for column, of_rows in self.places.items():
            lost |= _fill(result, column, of_rows)
        return _without(result, lost, tuple(self.places))


@dataclass(frozen=True)
class _Encoding:
    """The work of `EncodeStage`: the nets' batches are filled across rows, read batches and shards."""

    nets: Mapping[Column, BatchAssembler]

    def __call__(self, batch: Batch) -> Batch:
        return next(self.process(iter([batch])))

    def process(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        waiting: deque[_UnderWay] = deque()
        with ExitStack() as feeding:
            for net in self.nets.values():
                feeding.enter_context(net.feeding())
            for batch in batches:
                waiting.append(self._begun(batch))
                while waiting and waiting[0].is_made():
                    yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

    def _begun(self, batch: Batch) -> _UnderWay:
        places: dict[Column, list[list[VectorSlot] | None]] = {}
        let_go = dict(batch)
        for column, net in self.nets.items():
            places[column] = [
                None if pieces is None else [net.add(piece) for piece in pieces]
                for pieces in batch[_prepared(column)]
            ]
            let_go[_prepared(column)] = [None] * count_rows(batch)
        return _UnderWay(let_go, places)


def _fill(batch: Batch, column: Column, of_rows: list[list[VectorSlot] | None]) -> set[int]:
    """Add a column, its norms and batch sizes; return the rows that got a vector without a direction."""
    vectors: list[np.ndarray | None] = [None] * len(of_rows)
    norms: list[float | None] = [None] * len(of_rows)
    sizes: list[int | None] = [None] * len(of_rows)
    there = {row: places for row, places in enumerate(of_rows) if places}
    lost: set[int] = set()
    if there:
        raw_MD = np.stack(
            [place.made.result().raw_BD[place.row] for places in there.values() for place in places]
        )
        unit_ND, norms_N = pool_pieces(raw_MD, [len(places) for places in there.values()])
        for row, vector_D, norm in zip(there, unit_ND.astype(np.float16), norms_N, strict=True):
            vectors[row], norms[row] = vector_D, float(norm)
            sizes[row] = min(place.made.result().batch_rows for place in there[row])
            if not np.isfinite(norm) or norm == 0:
                lost.add(row)
    batch |= dict(zip(_made_of(column), (vectors, norms, sizes), strict=True))
    return lost


def _without(batch: Batch, lost: set[int], columns: tuple[Column, ...]) -> Batch:
    """Take the vectors of rows out of a batch and say why: one of zeros or NaN would spoil any search."""
    if not lost:
        return batch
    instead = make_outcome("failed", "no_vector")
    changed = dict.fromkeys(name for column in columns for name in _made_of(column)) | {
        "outcome": instead.status,
        "reason": instead.reason,
    }
    return batch | {
        name: [value if row in lost else old for row, old in enumerate(batch[name])]
        for name, value in changed.items()
    }
