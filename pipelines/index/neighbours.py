"""Search in an index, with a fixed order of equal scores. Shapes: N queries, K neighbours, D dimensions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

# FAISS leaves open which of several equal scores it returns last: so many more are asked for, then sorted.
_SPARE = 32

# Rows that pass a filter, up to which all lists are looked through: their vectors are compared in
# milliseconds, and no neighbour is missed.
_FEW_ROWS = 20_000

# How many times as many lists are looked at for a query that found too few rows.
_FURTHER = 4


@dataclass(frozen=True, slots=True, eq=False)
class KeyFilter:
    """Which keys may be found.

    Attributes:
        bits: uint8; bit K % 8 of byte K // 8 says so of key K, and keys beyond the last byte may not.
        rows: how many, about: some of them may have no vector.
    """

    bits: np.ndarray
    rows: int

    @classmethod
    def of(cls, allowed: np.ndarray) -> KeyFilter:
        """Return it for the keys at which an array of bool is true."""
        return cls(np.packbits(allowed, bitorder="little"), int(np.count_nonzero(allowed)))

    def without(self, keys: np.ndarray) -> KeyFilter:
        """Return it with some of its keys, int64, taken away."""
        bits = self.bits.copy()
        np.bitwise_and.at(bits, keys // 8, ~(1 << (keys % 8)).astype(np.uint8))
        return KeyFilter(bits, self.rows - len(keys))


class Neighbours:
    """A FAISS index that never returns what was removed. Safe to use from several threads.

    Args:
        index: of inner products, with keys as ids.
        nprobe: inverted lists searched a query; None where there are none.
        removed: keys that are gone, int64.
    """

    def __init__(self, index: Any, nprobe: int | None, removed: np.ndarray) -> None:
        import faiss

        self._index = index
        self._nprobe = nprobe
        self._lists = 0 if nprobe is None else int(faiss.extract_index_ivf(index).nlist)
        self._present: Any = None
        if len(removed):
            gone = np.zeros(int(removed.max()) + 1, dtype=bool)
            gone[removed] = True
            # A bit a key: for 10 million keys 1.25 MB, where a set of a million of them takes 40 MB.
            self._present = faiss.IDSelectorNot(_selector(np.packbits(gone, bitorder="little")))

    @property
    def rows(self) -> int:
        """How many the index holds, those that are gone among them."""
        return int(self._index.ntotal)

    def search(
        self, queries_ND: np.ndarray, k: int, passing: KeyFilter | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return scores, float32 [N, K], and keys, int64 [N, K]: by score, then by key.

        Where an index has fewer than k, the scores end with -inf and the keys with -1.

        Args:
            queries_ND: unit vectors.
            k: how many.
            passing: the keys that may be found, none of them gone; all that are left if None.
        """
        wanted = min(k, self.rows if passing is None else min(passing.rows, self.rows))
        if wanted == 0:
            none = (len(queries_ND), 0)
            return np.empty(none, dtype=np.float32), np.empty(none, dtype=np.int64)
        nprobe = self._nprobe if passing is None else self._enough(passing)
        scores, keys = self._search(queries_ND, wanted, nprobe, passing)
        while nprobe is not None and nprobe < self._lists and (short := (keys < 0).any(axis=1)).any():
            # The lists that were looked at hold fewer than that; others have the rest.
            nprobe = min(_FURTHER * nprobe, self._lists)
            scores[short], keys[short] = self._search(queries_ND[short], wanted, nprobe, passing)
        return scores, keys

    def _search(
        self, queries_ND: np.ndarray, wanted: int, nprobe: int | None, passing: KeyFilter | None
    ) -> tuple[np.ndarray, np.ndarray]:
        queries_ND = np.ascontiguousarray(queries_ND, dtype=np.float32)
        scores, keys = self._index.search(
            queries_ND, min(wanted + _SPARE, self.rows), params=self._with(nprobe, passing)
        )
        scores = np.where(keys < 0, -np.inf, scores)
        order = np.lexsort((keys, -scores), axis=1)[:, :wanted]
        return np.take_along_axis(scores, order, axis=1), np.take_along_axis(keys, order, axis=1)

    def _enough(self, passing: KeyFilter) -> int | None:
        """Return how many lists hold as many rows that pass as are looked at without a filter."""
        if self._nprobe is None or passing.rows <= _FEW_ROWS:
            return self._lists or None
        return min(self._lists, math.ceil(self._nprobe * self.rows / passing.rows))

    def _with(self, nprobe: int | None, passing: KeyFilter | None) -> Any:
        # FAISS changes the parameters while it searches: every search has its own.
        import faiss

        selector: dict[str, Any] = {}
        if passing is not None:
            selector["sel"] = _selector(passing.bits)
        elif self._present is not None:
            selector["sel"] = self._present
        if nprobe is None:
            return faiss.SearchParameters(**selector)
        of_lists: Any = faiss.SearchParametersIVF
        searched = of_lists(nprobe=nprobe, **selector)
        if not isinstance(self._index, faiss.IndexPreTransform):
            return searched
        rotated: Any = faiss.SearchParametersPreTransform
        return rotated(index_params=searched)


def _selector(bits: np.ndarray) -> Any:
    import faiss

    bitmap: Any = faiss.IDSelectorBitmap
    return bitmap(bits)
