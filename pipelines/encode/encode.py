"""Two stages for each kind of row: `Prepare` decodes in threads, `Vectors` runs the nets."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from pipelines import clock
from pipelines.encode.encoder import Specs, Tower, Unusable, encode
from pipelines.stage import Batch, Work, rows
from schemas.candidate import Kind
from schemas.outcome import OK, Outcome, outcome
from schemas.sample import FRAMES
from schemas.vectors import COLUMNS_OF, Column, family_of, modality_of

_log = logging.getLogger(__name__)

# The members of a sample that a column is made from; texts are made from the caption.
_MEMBERS: Mapping[tuple[Kind, Column], tuple[str, ...]] = {
    ("image", "clip_image"): ("jpg",),
    ("clip", "clip_image"): FRAMES,
    ("clip", "clap_audio"): ("flac",),
}


def _columns(kind: Kind, specs: Specs) -> tuple[Column, ...]:
    return tuple(column for column in COLUMNS_OF[kind] if family_of(column) in specs)


def _prepared(column: Column) -> str:
    return f"{column}_prepared"


@dataclass(frozen=True)
class Prepare:
    """Media and captions -> what the nets take, `COLUMN_prepared`; the media are let go.

    Attributes:
        kind: of the rows.
        specs: the encoders, by family.
        threads: that decode at once.
    """

    kind: Kind
    specs: Specs = field(hash=False)
    threads: int = 2

    @property
    def name(self) -> str:
        """The word for it in progress and profiles."""
        return "decode"

    @property
    def reads(self) -> frozenset[str]:
        """Outcome, caption and the members of the kind."""
        width = frozenset({"width"}) if self.kind == "clip" else frozenset[str]()
        return frozenset({"outcome", "reason", "caption"}) | width | self._members

    @property
    def adds(self) -> frozenset[str]:
        """The prepared columns; the members become None."""
        prepared = map(_prepared, _columns(self.kind, self.specs))
        return frozenset({"outcome", "reason", *prepared}) | self._members

    @property
    def _members(self) -> frozenset[str]:
        columns = _columns(self.kind, self.specs)
        return frozenset(name for column in columns for name in _MEMBERS.get((self.kind, column), ()))

    def open(self) -> Work:
        """Load the encoders and start the threads."""
        columns = _columns(self.kind, self.specs)
        towers = {column: self.specs[family_of(column)].open()[modality_of(column)] for column in columns}
        pool = ThreadPoolExecutor(self.threads, thread_name_prefix="decode")

        def work(batch: Batch) -> Batch:
            made = list(pool.map(lambda row: self._row(towers, batch, row), range(rows(batch))))
            result = batch | {name: [None] * rows(batch) for name in self._members}
            for column in columns:
                result[_prepared(column)] = [pieces.get(column) for pieces, _ in made]
            result["outcome"] = [became.status for _, became in made]
            result["reason"] = [became.reason for _, became in made]
            return result

        return work

    def _row(
        self, towers: Mapping[Column, Tower], batch: Batch, row: int
    ) -> tuple[dict[Column, np.ndarray], Outcome]:
        before = Outcome(batch["outcome"][row], batch["reason"][row])
        if before != OK:
            return {}, before
        try:
            with clock.spent("decode"):
                pieces = {
                    column: np.concatenate([tower.prepare(item) for item in items])
                    for column, tower in towers.items()
                    if (items := self._items(column, batch, row))
                }
        except Unusable as unusable:
            return {}, outcome("invalid", unusable.reason)
        except Exception:
            _log.exception("a row of kind %s could not be prepared", self.kind)
            return {}, outcome("failed", "bug")
        return pieces, OK

    def _items(self, column: Column, batch: Batch, row: int) -> list[bytes] | list[str]:
        """What a column of a row is made from; a blank caption and a clip without pictures make nothing."""
        # The frames of sound alone are blank, and its width is null.
        if (self.kind, column) == ("clip", "clip_image") and batch["width"][row] is None:
            return []
        if members := _MEMBERS.get((self.kind, column)):
            return [batch[member][row] for member in members]
        caption: str = batch["caption"][row]
        return [caption] if caption.strip() else []


@dataclass(frozen=True)
class Vectors:
    """Prepared columns -> unit vectors, `COLUMN` (float16 [D] or None) and `COLUMN_norm`.

    Attributes:
        kind: of the rows.
        specs: the encoders, by family.
    """

    kind: Kind
    specs: Specs = field(hash=False)

    @property
    def name(self) -> str:
        """The word for it in progress and profiles."""
        return "encode"

    @property
    def reads(self) -> frozenset[str]:
        """What `Prepare` adds."""
        prepared = map(_prepared, _columns(self.kind, self.specs))
        return frozenset({"outcome", "reason", *prepared})

    @property
    def adds(self) -> frozenset[str]:
        """The vectors and norms; the prepared columns become None."""
        columns = _columns(self.kind, self.specs)
        return self.reads | frozenset(columns) | {f"{column}_norm" for column in columns}

    def open(self) -> Work:
        """Load the encoders."""
        columns = _columns(self.kind, self.specs)
        towers = {column: self.specs[family_of(column)].open()[modality_of(column)] for column in columns}

        def work(batch: Batch) -> Batch:
            result = dict(batch)
            lost: set[int] = set()
            for column in columns:
                batch_rows = self.specs[family_of(column)].space.batch_rows
                with clock.spent("encode"):
                    lost |= _encode_column(towers[column], result, column, batch_rows)
            return _without(result, lost, columns)

        return work


def _encode_column(tower: Tower, batch: Batch, column: Column, batch_rows: int) -> set[int]:
    """Add a column and its norms to a batch; return the rows that got a vector without a direction."""
    prepared = batch[_prepared(column)]
    vectors: list[np.ndarray | None] = [None] * len(prepared)
    norms: list[float | None] = [None] * len(prepared)
    there = [row for row, pieces in enumerate(prepared) if pieces is not None]
    lost: set[int] = set()
    if there:
        unit_ND, norms_N = encode(tower, [prepared[row] for row in there], batch_rows)
        for row, vector_D, norm in zip(there, unit_ND.astype(np.float16), norms_N, strict=True):
            vectors[row], norms[row] = vector_D, float(norm)
        lost = {there[n] for n in np.flatnonzero(~np.isfinite(norms_N) | (norms_N == 0))}
    batch[column], batch[f"{column}_norm"] = vectors, norms
    batch[_prepared(column)] = [None] * len(prepared)
    return lost


def _without(batch: Batch, lost: set[int], columns: tuple[Column, ...]) -> Batch:
    """Take the vectors of rows out of a batch and say why: one of zeros or NaN would spoil any search."""
    if not lost:
        return batch
    names = [name for column in columns for name in (column, f"{column}_norm")]
    instead = outcome("failed", "no_vector")
    changed = dict.fromkeys(names) | {"outcome": instead.status, "reason": instead.reason}
    return batch | {
        name: [value if row in lost else old for row, old in enumerate(batch[name])]
        for name, value in changed.items()
    }
