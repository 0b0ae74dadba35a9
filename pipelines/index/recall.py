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
class Questions:
    """Vectors of one column that ask another column (or their own).

    Attributes:
        ids: the keys of the rows they come from, int64 [N].
        vectors: unit vectors, float32 [N, D].
        own: whether they ask the column they come from: then a question's own row is no answer to it.
    """

    ids: np.ndarray
    vectors: np.ndarray
    own: bool


class Truth:
    """The true neighbours of questions, gathered from a stream of vectors."""

    def __init__(self, questions: Questions) -> None:
        self.questions = questions
        count = len(questions.ids)
        self._scores = np.full((count, _KEPT), -np.inf, dtype=np.float32)
        self._keys = np.full((count, _KEPT), -1, dtype=np.int64)

    def see(self, keys: np.ndarray, vectors_ND: np.ndarray) -> None:
        """Compare the questions with more vectors of the column that they ask."""
        scores = self.questions.vectors @ vectors_ND.T
        if self.questions.own:
            scores[self.questions.ids[:, None] == keys[None, :]] = -np.inf
        scores = np.concatenate([self._scores, scores], axis=1)
        keys = np.concatenate([self._keys, np.broadcast_to(keys, (len(self._keys), len(keys)))], axis=1)
        best = np.argpartition(-scores, _KEPT - 1, axis=1)[:, :_KEPT]
        self._scores = np.take_along_axis(scores, best, axis=1)
        self._keys = np.take_along_axis(keys, best, axis=1)

    def recall(self, neighbours: Neighbours) -> dict[int, float]:
        """Return k -> the share of the true top k that an index finds.

        Any of several vectors with the same score is as good as the others.
        """
        _, found = neighbours.search(self.questions.vectors, max(KS) + self.questions.own)
        order = np.argsort(-self._scores, axis=1, kind="stable")
        scores = np.take_along_axis(self._scores, order, axis=1)
        keys = np.take_along_axis(self._keys, order, axis=1)
        shares: dict[int, list[float]] = {k: [] for k in KS}
        for row, own in enumerate(self.questions.ids):
            answers = found[row][found[row] != own] if self.questions.own else found[row]
            there = int(np.isfinite(scores[row]).sum())
            for k in KS:
                wanted = min(k, there)
                if wanted:
                    good = keys[row][scores[row] >= scores[row, wanted - 1] - _EQUAL]
                    shares[k].append(min(np.isin(answers[:k], good).sum(), wanted) / wanted)
        return {k: float(np.mean(share)) if share else 1.0 for k, share in shares.items()}


def worst(recalls: Iterable[dict[int, float]]) -> float:
    """Return recall@10 of the questions that do worst."""
    return min(recall[10] for recall in recalls)
