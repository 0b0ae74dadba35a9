"""Search in an index, with a fixed order of equal scores. Shapes: N queries, K neighbours, D dimensions."""

from __future__ import annotations

from typing import Any

import numpy as np

# FAISS leaves open which of several equal scores it returns last: so many more are asked for, then sorted.
_SPARE = 32


class Neighbours:
    """A FAISS index that never returns what was removed.

    Args:
        index: of inner products, with keys as ids.
        nprobe: inverted lists searched a query; None where there are none.
        removed: keys that are gone, int64.
    """

    def __init__(self, index: Any, nprobe: int | None, removed: np.ndarray) -> None:
        self._index = index
        self._removed = np.ascontiguousarray(removed, dtype=np.int64)
        # FAISS's parameters only point at each other: whatever one points at must stay alive.
        self._alive: list[Any] = []
        self._parameters = self._with(nprobe)
        self._thorough = None if nprobe is None else self._with(self._lists())

    def search(self, queries_ND: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return scores, float32 [N, K], and keys, int64 [N, K]: by score, then by key.

        Where an index has fewer than k, the scores end with -inf and the keys with -1.
        """
        wanted = min(k, self._index.ntotal)
        scores, keys = self._search(queries_ND, wanted, self._parameters)
        if self._thorough is not None and (keys < 0).any():
            # The lists that were looked at hold fewer than that; the others have the rest.
            scores, keys = self._search(queries_ND, wanted, self._thorough)
        return scores, keys

    def _search(self, queries_ND: np.ndarray, wanted: int, parameters: Any) -> tuple[np.ndarray, np.ndarray]:
        queries_ND = np.ascontiguousarray(queries_ND, dtype=np.float32)
        scores, keys = self._index.search(queries_ND, wanted + _SPARE, params=parameters)
        scores = np.where(keys < 0, -np.inf, scores)
        order = np.lexsort((keys, -scores), axis=1)[:, :wanted]
        return np.take_along_axis(scores, order, axis=1), np.take_along_axis(keys, order, axis=1)

    def _lists(self) -> int:
        import faiss

        return int(faiss.extract_index_ivf(self._index).nlist)

    def _with(self, nprobe: int | None) -> Any:
        import faiss

        selector: dict[str, Any] = {}
        if len(self._removed):
            batch = faiss.IDSelectorBatch(self._removed)
            selector["sel"] = faiss.IDSelectorNot(batch)
            self._alive += [batch, selector["sel"]]
        if nprobe is None:
            return faiss.SearchParameters(**selector)
        of_lists: Any = faiss.SearchParametersIVF
        searched = of_lists(nprobe=nprobe, **selector)
        if not isinstance(self._index, faiss.IndexPreTransform):
            return searched
        self._alive.append(searched)
        rotated: Any = faiss.SearchParametersPreTransform
        return rotated(index_params=searched)
