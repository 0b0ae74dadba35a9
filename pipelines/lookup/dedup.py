"""Search without near-duplicates: further rows are fetched until k distinct ones are found.

Shapes: N rows, K hits, D dimensions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from pipelines.index.neighbours import KeyFilter, Neighbours

# A re-encoded or resized copy of a picture keeps a CLIP cosine above this; SemDeDup (arXiv 2303.09540)
# removes pairs above thresholds of 0.95 to 0.99.
DUPLICATE_COSINE = 0.98

# Rows compared at a time: 8 MB of vectors of 512 dimensions.
_MAX_BLOCK_ROWS = 4096


def extend_search(
    neighbours: Neighbours, vector_D: np.ndarray, count: int, remaining: KeyFilter
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield scores and keys of ever more distant rows, a block at a time, until the index is exhausted.

    Args:
        neighbours: to search.
        vector_D: of the query.
        count: rows that were found before.
        remaining: the keys of all others.
    """
    while True:
        count = min(4 * count, _MAX_BLOCK_ROWS)
        scores, keys = neighbours.search(vector_D[None], count, remaining)
        there = keys[0] >= 0
        yield scores[0][there], keys[0][there]
        if there.sum() < count:
            return
        remaining = remaining.exclude(keys[0][there])


def drop_near_duplicates(
    blocks: Iterator[tuple[np.ndarray, np.ndarray]],
    read_vectors: Callable[[np.ndarray], np.ndarray],
    k: int,
    own: int = -1,
) -> tuple[np.ndarray, np.ndarray]:
    """Return scores and keys, [K], of the best rows that are no near-duplicates of better ones.

    Args:
        blocks: scores and keys, best first.
        read_vectors: returns the unit vectors of keys, [N, D].
        k: how many; fewer if the blocks end.
        own: a key that is left out.
    """
    scores: list[float] = []
    keys: list[int] = []
    kept_KD: np.ndarray | None = None
    for block_scores, block_keys in blocks:
        if not len(block_keys):
            continue
        vectors_ND = read_vectors(block_keys)
        if kept_KD is None:
            kept_KD = np.empty((k, vectors_ND.shape[1]), dtype=np.float32)
        for score, key, vector_D in zip(block_scores.tolist(), block_keys.tolist(), vectors_ND, strict=True):
            if key == own or (kept_KD[: len(keys)] @ vector_D).max(initial=-1) >= DUPLICATE_COSINE:
                continue
            kept_KD[len(keys)] = vector_D
            scores.append(score)
            keys.append(key)
            if len(keys) == k:
                return np.array(scores), np.array(keys)
    return np.array(scores), np.array(keys, dtype=np.int64)
