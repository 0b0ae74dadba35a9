"""Kernel distances between two sets of vectors: squared maximum mean discrepancies, unbiased.

Unbiased means that two sets of one law are 0 apart on average at every size, so they say more than a Fréchet
distance below some thousand items, and can be below 0.

Shapes: N generated and M real items, D dimensions.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Kernel = Callable[[np.ndarray, np.ndarray], np.ndarray]

# KAD is reported times this (Chung et al. 2025, KAD, arXiv 2502.15602).
KAD_SCALE = 100.0
# Rows whose distances decide the bandwidth at most: 2 million pairs.
_BANDWIDTH_ROWS = 2000
_ROWS_AT_ONCE = 1024


def kid(generated_ND: np.ndarray, real_MD: np.ndarray) -> float:
    """Return the kernel distance of the kernel (x.y / D + 1)^3 (Binkowski et al. 2018, arXiv 1801.01401)."""
    dims = generated_ND.shape[1]
    return mmd(generated_ND, real_MD, lambda one, other: (one @ other.T / dims + 1) ** 3)


def kad(generated_ND: np.ndarray, real_MD: np.ndarray) -> float:
    """Return the kernel audio distance, times 100: a Gaussian kernel as wide as the real set.

    The bandwidth is the median distance between real items, as the paper has it; its toolkit takes that of
    the second set that it is given, which is the generated one.
    """
    bandwidth = median_distance(real_MD)

    def gauss(one: np.ndarray, other: np.ndarray) -> np.ndarray:
        return np.exp(-_squared_distances(one, other) / (2 * max(bandwidth, 1e-12) ** 2))

    return KAD_SCALE * mmd(generated_ND, real_MD, gauss)


def mmd(generated_ND: np.ndarray, real_MD: np.ndarray, kernel: Kernel) -> float:
    """Return the unbiased squared maximum mean discrepancy of two sets.

    Args:
        generated_ND: two vectors at least.
        real_MD: two at least.
        kernel: of rows [A, D] and [B, D] -> [A, B].
    """
    generated, real = generated_ND.astype(np.float64), real_MD.astype(np.float64)
    return float(
        _mean_kernel(generated, generated, kernel, is_same=True)
        + _mean_kernel(real, real, kernel, is_same=True)
        - 2 * _mean_kernel(generated, real, kernel, is_same=False)
    )


def median_distance(vectors_ND: np.ndarray, seed: int = 0) -> float:
    """Return the median distance between two different rows, of a sample where there are many.

    Args:
        vectors_ND: two at least.
        seed: of the sample.
    """
    if len(vectors_ND) > _BANDWIDTH_ROWS:
        vectors_ND = vectors_ND[
            np.random.default_rng(seed).choice(len(vectors_ND), _BANDWIDTH_ROWS, replace=False)
        ]
    vectors = vectors_ND.astype(np.float64)
    squared = _squared_distances(vectors, vectors)
    return float(np.sqrt(np.median(squared[np.triu_indices(len(vectors), 1)])))


def _mean_kernel(one: np.ndarray, other: np.ndarray, kernel: Kernel, *, is_same: bool) -> float:
    total = 0.0
    for start in range(0, len(one), _ROWS_AT_ONCE):
        values = kernel(one[start : start + _ROWS_AT_ONCE], other)
        total += float(values.sum())
        if is_same:
            # A row and itself are no pair: that is what makes the estimate unbiased.
            rows = np.arange(len(values))
            total -= float(values[rows, start + rows].sum())
    return total / (len(one) * (len(other) - 1 if is_same else len(other)))


def _squared_distances(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    squares = (one**2).sum(1)[:, None] + (other**2).sum(1)[None]
    return np.asarray(np.maximum(squares - 2 * one @ other.T, 0.0))
