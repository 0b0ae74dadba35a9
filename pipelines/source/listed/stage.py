"""Rows -> the vectors that their list brings, as unit vectors beside their norms."""

from __future__ import annotations

import re
import threading
from bisect import bisect_right
from collections import OrderedDict
from dataclasses import dataclass, field

import numpy as np

from pipelines.compute import timing
from pipelines.source.listed.choice import ListedSet
from pipelines.source.listed.parts import VectorPart, make_changed_error, read_texts, read_vectors
from pipelines.stage import Batch, Work, count_rows
from schemas.families import Column
from schemas.outcome import OK, Outcome, make_outcome

# A worker has two shards in flight, which may lie in two files.
_OPEN_PARTS = 2
# As the plan tidies a URL (database.py).
_BREAKS = re.compile(r"[\t\n\v\f\r]+")


@dataclass(frozen=True)
class TakeListedVectors:
    """Takes the vectors of rows from their list; a row with one that is none has none, and an outcome.

    Attributes:
        listed: the set.
    """

    listed: ListedSet
    name: str = field(default="take", init=False)

    @property
    def reads(self) -> frozenset[str]:
        """The row of the list, its URL, and the outcome."""
        return frozenset({"source_row", "url", "outcome", "reason"})

    @property
    def adds(self) -> frozenset[str]:
        """The vectors and their norms; the outcome of a row without."""
        columns = self.listed.arrays
        return frozenset({"outcome", "reason", *columns, *(f"{column}_norm" for column in columns)})

    def open(self) -> Work:
        """Return the work; it holds the vectors of two files of the list in memory."""
        return _ListedWork(self.listed)


@dataclass
class _OpenPart:
    """The vectors and URLs of one file."""

    first: int
    vectors: dict[Column, tuple[np.ndarray, np.ndarray]]
    urls: list[str | None] | None


@dataclass
class _ListedWork:
    listed: ListedSet
    _open: OrderedDict[VectorPart, _OpenPart] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, batch: Batch) -> Batch:
        columns: Batch = {name: list(batch[name]) for name in ("outcome", "reason")}
        for column in self.listed.arrays:
            columns |= {column: [None] * count_rows(batch), f"{column}_norm": [None] * count_rows(batch)}
        for row, number in enumerate(batch["source_row"]):
            if columns["outcome"][row] != "ok":
                continue
            found, outcome = self._read_row(number, batch["url"][row])
            columns["outcome"][row], columns["reason"][row] = outcome
            for column, (unit_D, norm) in found.items():
                columns[column][row], columns[f"{column}_norm"][row] = unit_D, norm
        return batch | columns

    def _read_row(self, number: int, url: str) -> tuple[dict[Column, tuple[np.ndarray, float]], Outcome]:
        """Return the unit vector, float16 [D], and the norm of a row in every column, or its outcome."""
        vectors = self.listed.vectors
        with self._lock:
            opened = self._open_part(number)
        at = number - opened.first
        if opened.urls is not None and _tidy(opened.urls[at]) != url:
            raise make_changed_error(vectors.place, f"its row {number} is of another URL than {url[:200]}")
        found = {}
        for column, (matrix_ND, lengths_N) in opened.vectors.items():
            if lengths_N[at] >= 0 and lengths_N[at] != vectors.dims:
                return {}, make_outcome("invalid", "vector_size")
            raw_D = matrix_ND[at].astype(np.float64)
            with np.errstate(over="ignore"):
                norm = float(np.float32(np.linalg.norm(raw_D)))
            if not np.isfinite(norm):
                return {}, make_outcome("invalid", "not_finite")
            if lengths_N[at] < 0 or norm == 0:
                return {}, make_outcome("invalid", "no_vector")
            found[column] = (raw_D / norm).astype(np.float16), norm
        return found, OK

    def _open_part(self, number: int) -> _OpenPart:
        """Return the file that has a row of the list."""
        vectors = self.listed.vectors
        if not 0 <= number < vectors.rows:
            raise make_changed_error(vectors.place, f"it has {vectors.rows:,} rows, and one was {number:,}")
        part = vectors.parts[bisect_right([each.first for each in vectors.parts], number) - 1]
        if part in self._open:
            self._open.move_to_end(part)
            return self._open[part]
        if len(self._open) == _OPEN_PARTS:
            self._open.popitem(last=False)
        with timing.measure_time("read"):
            arrays = self.listed.arrays.items()
            found = {column: read_vectors(vectors, part, name) for column, name in arrays}
            urls = read_texts(part, vectors.url, vectors.place) if vectors.url is not None else None
        self._open[part] = _OpenPart(part.first, found, urls)
        return self._open[part]


def _tidy(text: str | None) -> str:
    return _BREAKS.sub(" ", text or "").strip(" ")
