"""Recall of an index against exact search. Shapes: N queries, K neighbours, D dimensions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from pipelines.index.neighbours import Neighbours

KS = (1, 10, 100)

# True neighbours kept beyond the largest k, so that those with an equal score are known as well: one picture
# under several captions has several keys and one vector.
_KEPT = 2 * max(KS)

# Two sums of the same 512 products, added in another order, differ by less.
_EQUAL = 1e-6


@dataclass(frozen=True)
class QuerySample:
    """Vectors of one column that query another column (or their own).

    Attributes:
        ids: the keys of the rows they come from, int64 [N].
        vectors: unit vectors, float32 [N, D].
        own: whether they query the column they come from: a query's own row is then no neighbour of it.
    """

    ids: np.ndarray
    vectors: np.ndarray
    own: bool


class ExactNeighbours:
    """The exact nearest neighbours of queries, found while vectors stream by.

    Args:
        queries: whose neighbours.
    """

    def __init__(self, queries: QuerySample) -> None:
        self.queries = queries
        count = len(queries.ids)
        self._scores = np.full((count, _KEPT), -np.inf, dtype=np.float32)
        self._keys = np.full((count, _KEPT), -1, dtype=np.int64)

    def update(self, keys: np.ndarray, vectors_ND: np.ndarray) -> None:
        """Compare the queries with more vectors of the column that they query."""
        scores = self.queries.vectors @ vectors_ND.T
        if self.queries.own:
            _, rows, places = np.intersect1d(self.queries.ids, keys, return_indices=True)
            scores[rows, places] = -np.inf
        # After the first block few scores are better than the kept ones: a full sort is never needed.
        rows, places = np.nonzero(scores > self._scores.min(axis=1)[:, None])
        starts = np.searchsorted(rows, np.arange(len(scores) + 1))
        for row in np.unique(rows).tolist():
            better = places[starts[row] : starts[row + 1]]
            both = np.concatenate([self._scores[row], scores[row, better]])
            best = np.argpartition(both, -_KEPT)[-_KEPT:]
            self._scores[row] = both[best]
            self._keys[row] = np.concatenate([self._keys[row], keys[better]])[best]

    def measure_recall(self, neighbours: Neighbours) -> dict[int, float]:
        """Return k -> the share of the exact top k that a search for k neighbours finds.

        Vectors with the same score are interchangeable.
        """
        order = np.argsort(-self._scores, axis=1, kind="stable")
        scores = np.take_along_axis(self._scores, order, axis=1)
        keys = np.take_along_axis(self._keys, order, axis=1)
        shares: dict[int, list[float]] = {k: [] for k in KS}
        for k in KS:
            # One search for each k: a search for more looks further, so that of 100 finds more of the top 10.
            _, found = neighbours.search(self.queries.vectors, k + self.queries.own)
            for row, own in enumerate(self.queries.ids):
                hits = found[row][found[row] != own] if self.queries.own else found[row]
                if count := min(k, int(np.isfinite(scores[row]).sum())):
                    good = keys[row][scores[row] >= scores[row, count - 1] - _EQUAL]
                    shares[k].append(min(np.isin(hits[:k], good).sum(), count) / count)
        return {k: float(np.mean(share)) if share else 1.0 for k, share in shares.items()}


def find_worst(recalls: Iterable[dict[int, float]]) -> float:
    """Return the recall@10 of the column of queries that does worst."""
    return min(recall[10] for recall in recalls)
