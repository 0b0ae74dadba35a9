"""How well an index finds the true neighbours again. Shapes: N queries, K neighbours, D dimensions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from pipelines.index.neighbours import Neighbours

KS = (1, 10, 100)

# True neighbours that are kept beyond the largest k, so that those with an equal score are known as well:
# one picture under several captions has several keys and one vector.
_KEPT = 2 * max(KS)

# Two sums of the same 512 products, added in another order, differ by less.
_EQUAL = 1e-6


@dataclass(frozen=True)
class QuerySample:
    """Vectors of one column that ask another column (or their own).

    Attributes:
        ids: the keys of the rows they come from, int64 [N].
        vectors: unit vectors, float32 [N, D].
        own: whether they ask the column they come from: then a question's own row is no answer to it.
    """

    ids: np.ndarray
    vectors: np.ndarray
    own: bool


class ExactNeighbours:
    """The true neighbours of questions, gathered from a stream of vectors."""

    def __init__(self, questions: QuerySample) -> None:
        self.questions = questions
        count = len(questions.ids)
        self._scores = np.full((count, _KEPT), -np.inf, dtype=np.float32)
        self._keys = np.full((count, _KEPT), -1, dtype=np.int64)

    def see(self, keys: np.ndarray, vectors_ND: np.ndarray) -> None:
        """Compare the questions with more vectors of the column that they ask."""
        scores = self.questions.vectors @ vectors_ND.T
        if self.questions.own:
            _, rows, places = np.intersect1d(self.questions.ids, keys, return_indices=True)
            scores[rows, places] = -np.inf
        # After the first vectors few are better than what is kept: no matrix of all is sorted.
        rows, places = np.nonzero(scores > self._scores.min(axis=1)[:, None])
        starts = np.searchsorted(rows, np.arange(len(scores) + 1))
        for row in np.unique(rows).tolist():
            better = places[starts[row] : starts[row + 1]]
            both = np.concatenate([self._scores[row], scores[row, better]])
            best = np.argpartition(both, -_KEPT)[-_KEPT:]
            self._scores[row] = both[best]
            self._keys[row] = np.concatenate([self._keys[row], keys[better]])[best]

    def recall(self, neighbours: Neighbours) -> dict[int, float]:
        """Return k -> the share of the true top k that an index finds when it is asked for k.

        Any of several vectors with the same score is as good as the others.
        """
        order = np.argsort(-self._scores, axis=1, kind="stable")
        scores = np.take_along_axis(self._scores, order, axis=1)
        keys = np.take_along_axis(self._keys, order, axis=1)
        shares: dict[int, list[float]] = {k: [] for k in KS}
        for k in KS:
            # One search for each: it looks further where it finds too few, so a large k finds more of ten.
            _, found = neighbours.search(self.questions.vectors, k + self.questions.own)
            for row, own in enumerate(self.questions.ids):
                answers = found[row][found[row] != own] if self.questions.own else found[row]
                if wanted := min(k, int(np.isfinite(scores[row]).sum())):
                    good = keys[row][scores[row] >= scores[row, wanted - 1] - _EQUAL]
                    shares[k].append(min(np.isin(answers[:k], good).sum(), wanted) / wanted)
        return {k: float(np.mean(share)) if share else 1.0 for k, share in shares.items()}


def find_worst(recalls: Iterable[dict[int, float]]) -> float:
    """Return recall@10 of the questions that do worst."""
    return min(recall[10] for recall in recalls)
