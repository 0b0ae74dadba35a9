"""Vectors of which others are nearly the same: what is held out must have no double in what is trained on.

Shapes: N vectors, I dimensions.
"""

from __future__ import annotations

import numpy as np

# Combinations of rows up to which every cosine is computed: 20 s on two cores.
_MAX_COSINES = 2_000_000_000


def find_near_rows(
    vectors_NI: np.ndarray, rows: np.ndarray, others: np.ndarray, cosine: float
) -> tuple[np.ndarray, str]:
    """Return which rows are nearly one of others, bool [n], and by what rule.

    Args:
        vectors_NI: unit vectors, float16.
        rows: that are asked about.
        others: that they are compared with; neither is empty.
        cosine: from which two vectors are nearly the same. Where there are too many to compare, equal ones
            are.
    """
    if len(rows) * len(others) > _MAX_COSINES:
        return np.isin(_hash_rows(vectors_NI, rows), _hash_rows(vectors_NI, others)), "equal"
    return _find_nearest_cosines(vectors_NI, rows, others) >= cosine, f"cosine from {cosine:g}"


def _find_nearest_cosines(vectors_NI: np.ndarray, held: np.ndarray, known: np.ndarray) -> np.ndarray:
    import faiss

    index = faiss.IndexFlatIP(vectors_NI.shape[1])
    for start in range(0, len(known), 65_536):
        index.add(vectors_NI[known[start : start + 65_536]].astype(np.float32))
    cosines: np.ndarray = index.search(vectors_NI[held].astype(np.float32), 1)[0][:, 0]
    return cosines


def _hash_rows(vectors_NI: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return a hash of each row, uint64; 10 million rows hardly ever collide."""
    words = vectors_NI.shape[1] * vectors_NI.itemsize // 2
    odd = np.random.default_rng(0).integers(2**63, size=words, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    hashes_N = np.empty(len(rows), dtype=np.uint64)
    for start in range(0, len(rows), 16_384):
        chunk = np.ascontiguousarray(vectors_NI[rows[start : start + 16_384]]).view(np.uint16)
        hashes_N[start : start + 16_384] = chunk.astype(np.uint64) @ odd  # may overflow: modulo 2**64
    return hashes_N
