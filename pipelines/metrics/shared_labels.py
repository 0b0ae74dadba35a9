"""Retrieval among clips of several labels: right is every target that shares one with the query.

With VGGSound's one label a clip, right answers count as wrong ones: of 12,014 test clips that VGGSounder 1.0
labels again, 8,646 have two labels or more.

Shapes: Q queries and G targets of a gallery, L labels.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np


def encode_labels(label_sets: Sequence[Collection[str]], names: Sequence[str]) -> np.ndarray:
    """Return which labels each item has, float32 [N, L].

    Args:
        label_sets: of every item.
        names: of all labels, in the order of the columns.
    """
    columns = {name: column for column, name in enumerate(names)}
    encoded_NL = np.zeros((len(label_sets), len(names)), np.float32)
    for row, labels in enumerate(label_sets):
        encoded_NL[row, [columns[label] for label in labels]] = 1
    return encoded_NL


def share_label(labels_QL: np.ndarray, labels_GL: np.ndarray) -> np.ndarray:
    """Return which targets share a label with each query, bool [Q, G].

    Args:
        labels_QL: which labels each query has.
        labels_GL: which labels each target has.
    """
    return np.asarray(labels_QL @ labels_GL.T > 0)


def average_precision_of_all(cosines_QG: np.ndarray, right_QG: np.ndarray) -> np.ndarray:
    """Return the mean of the precisions at every right target of the whole ranking [Q]; mAP is its mean.

    Of equally near targets the wrong ones come first; a query that is no vector has 0, and so has one
    without a right target.

    Args:
        cosines_QG: of queries to targets.
        right_QG: which targets are right.
    """
    known_Q = np.isfinite(cosines_QG).any(1)
    # The last key sorts first: from near to far, and among equals the wrong before the right.
    order_QG = np.lexsort((right_QG, -np.nan_to_num(cosines_QG, nan=-np.inf)), axis=1)
    ranked_QG = np.take_along_axis(right_QG, order_QG, axis=1)
    precisions_QG = ranked_QG.cumsum(1) / np.arange(1, ranked_QG.shape[1] + 1)
    found_Q = (precisions_QG * ranked_QG).sum(1) / np.maximum(ranked_QG.sum(1), 1)
    return np.asarray(np.where(known_Q, found_Q, 0.0))
