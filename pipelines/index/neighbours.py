"""Search of an index with a deterministic order of ties. Shapes: N queries, K neighbours, D dimensions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipelines.errors import StorageError

# FAISS does not define which of several equal scores is cut off at k: so many more are fetched, then sorted.
_SPARE = 32

# If no more rows than this pass a filter, all lists are searched: comparing them takes milliseconds, and no
# neighbour is missed.
_FEW_ROWS = 20_000

# The largest key for which a bitmap is made, since it takes a byte a key and a version may name any number.
_MOST_BITS = 2**28

# The factor by which nprobe grows for a query that found too few rows.
_NPROBE_GROWTH = 4


@dataclass(frozen=True, slots=True, eq=False)
class KeyFilter:
    """A bitmap of the keys that a search may return.

    Attributes:
        bits: uint8; key K may be returned if bit K % 8 of byte K // 8 is set; keys beyond the end may not.
        rows: the number of bits set; some of these rows may have no vector.
    """

    bits: np.ndarray
    rows: int

    @classmethod
    def from_mask(cls, allowed: np.ndarray) -> KeyFilter:
        """Return the filter of the keys at which a mask, bool [keys], is true."""
        return cls(np.packbits(allowed, bitorder="little"), int(np.count_nonzero(allowed)))

    def exclude(self, keys: np.ndarray) -> KeyFilter:
        """Return the filter without some of its keys, int64."""
        bits = self.bits.copy()
        np.bitwise_and.at(bits, keys // 8, ~(1 << (keys % 8)).astype(np.uint8))
        return KeyFilter(bits, self.rows - len(keys))


class Neighbours:
    """A FAISS index that never returns removed keys. Safe to use from several threads.

    Args:
        index: of inner products, with keys as ids.
        nprobe: inverted lists searched for each query; None where there are none.
        removed: keys that are gone, int64.

    Raises:
        StorageError: the index has not so many lists.
    """

    def __init__(self, index: Any, nprobe: int | None, removed: np.ndarray) -> None:
        import faiss

        self._index = index
        self._nprobe = nprobe
        lists = None if nprobe is None else faiss.try_extract_index_ivf(index)
        if nprobe is not None and (lists is None or nprobe > lists.nlist):
            raise StorageError(
                f"the card of an index says that {nprobe} lists are searched, and it has fewer; take that "
                "version away and run the build again"
            )
        self._lists = 0 if lists is None else int(lists.nlist)
        self._present: Any = None
        if len(removed) and int(removed.max()) >= _MOST_BITS:
            self._present = faiss.IDSelectorNot(faiss.IDSelectorBatch(removed))
        elif len(removed):
            gone = np.zeros(int(removed.max()) + 1, dtype=bool)
            gone[removed] = True
            # One bit per key: 1.25 MB for 10 million keys, where a set of a million of them takes 40 MB.
            self._present = faiss.IDSelectorNot(_make_selector(np.packbits(gone, bitorder="little")))

    @property
    def rows(self) -> int:
        """The number of rows in the index, including those that are gone."""
        return int(self._index.ntotal)

    def search(
        self, queries_ND: np.ndarray, k: int, key_filter: KeyFilter | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return scores, float32 [N, K], and keys, int64 [N, K]: by score, then by key.

        Where an index has fewer than k rows, the scores end with -inf and the keys with -1.

        Args:
            queries_ND: unit vectors.
            k: number of neighbours.
            key_filter: the keys that may be returned, none of them gone; all that are left if None.
        """
        count = min(k, self.rows if key_filter is None else min(key_filter.rows, self.rows))
        if count == 0:
            none = (len(queries_ND), 0)
            return np.empty(none, dtype=np.float32), np.empty(none, dtype=np.int64)
        nprobe = self._nprobe if key_filter is None else self._choose_nprobe(key_filter)
        scores, keys = self._search(queries_ND, count, nprobe, key_filter)
        while nprobe is not None and nprobe < self._lists and (short := (keys < 0).any(axis=1)).any():
            # The lists that were searched hold fewer rows than k; others have the rest.
            nprobe = min(_NPROBE_GROWTH * nprobe, self._lists)
            scores[short], keys[short] = self._search(queries_ND[short], count, nprobe, key_filter)
        return scores, keys

    def _search(
        self, queries_ND: np.ndarray, count: int, nprobe: int | None, key_filter: KeyFilter | None
    ) -> tuple[np.ndarray, np.ndarray]:
        queries_ND = np.ascontiguousarray(queries_ND, dtype=np.float32)
        scores, keys = self._index.search(
            queries_ND, min(count + _SPARE, self.rows), params=self._make_parameters(nprobe, key_filter)
        )
        scores = np.where(keys < 0, -np.inf, scores)
        order = np.lexsort((keys, -scores), axis=1)[:, :count]
        return np.take_along_axis(scores, order, axis=1), np.take_along_axis(keys, order, axis=1)

    def _choose_nprobe(self, key_filter: KeyFilter) -> int | None:
        """Return how many lists hold as many passing rows as a search without a filter compares."""
        if self._nprobe is None or key_filter.rows <= _FEW_ROWS:
            return self._lists or None
        return min(self._lists, math.ceil(self._nprobe * self.rows / key_filter.rows))

    def _make_parameters(self, nprobe: int | None, key_filter: KeyFilter | None) -> Any:
        # FAISS changes the parameters during a search: every search needs its own.
        import faiss

        selector: dict[str, Any] = {}
        if key_filter is not None:
            selector["sel"] = _make_selector(key_filter.bits)
        elif self._present is not None:
            selector["sel"] = self._present
        if nprobe is None:
            return faiss.SearchParameters(**selector)
        parameters_class: Any = faiss.SearchParametersIVF
        parameters = parameters_class(nprobe=nprobe, **selector)
        if not isinstance(self._index, faiss.IndexPreTransform):
            return parameters
        rotated_class: Any = faiss.SearchParametersPreTransform
        return rotated_class(index_params=parameters)


def _make_selector(bits: np.ndarray) -> Any:
    import faiss

    bitmap: Any = faiss.IDSelectorBitmap
    return bitmap(bits)
