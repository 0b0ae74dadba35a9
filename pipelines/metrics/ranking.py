"""Ranks and precisions of queries in a gallery where several targets may be right.

All captions of a picture are as right as its own: R@1 of the own caption alone was .147 where any caption of
the picture had .750. R@k is the mean of rank < k, mAP that of the average precision; both over groups with
`bootstrap.mean`.

Shapes: Q queries and G targets of a gallery.
"""

from __future__ import annotations

import numpy as np

_NEAREST = 10


def rank_first(cosines_QG: np.ndarray, right_QG: np.ndarray) -> np.ndarray:
    """Return how many wrong targets are at least as near as the nearest right one [Q]: R@k is below k.

    Among equally near targets the right one ranks last: duplicates in a gallery earn nothing.

    Args:
        cosines_QG: of queries to targets.
        right_QG: which targets are right; one at least for every query.
    """
    best_Q = np.where(right_QG, cosines_QG, -np.inf).max(1)
    # Not `>=`: what is not a number is farther than everything.
    return np.asarray((~(cosines_QG < best_Q[:, None]) & ~right_QG).sum(1))


def average_precision(cosines_QG: np.ndarray, right_QG: np.ndarray, depth: int = _NEAREST) -> np.ndarray:
    """Return the mean of the precisions at every right target among the nearest [Q]; mAP is its mean.

    It is divided by the right targets that could be among them. With one right target it is 1 / rank, or 0
    beyond `depth`.

    Args:
        cosines_QG: of queries to targets.
        right_QG: which targets are right.
        depth: targets that count.
    """
    rights_Q = right_QG.sum(1)
    own_QK = -np.sort(-np.where(right_QG, cosines_QG, -np.inf), axis=1)[:, : min(depth, rights_Q.max())]
    others_QG = np.where(right_QG, -np.inf, cosines_QG)
    precisions_Q = np.zeros(len(cosines_QG))
    for number in range(own_QK.shape[1]):
        # Of equally near ones the wrong ones come first.
        rank_Q = (~(others_QG < own_QK[:, number, None])).sum(1) + number
        is_found_Q = (rank_Q < depth) & (number < rights_Q)
        precisions_Q += np.where(is_found_Q, (number + 1) / (rank_Q + 1), 0)
    return np.asarray(precisions_Q / np.minimum(rights_Q, depth))
