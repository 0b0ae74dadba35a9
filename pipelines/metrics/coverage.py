"""Density and coverage of a generated set (Naeem et al. 2020, Reliable Fidelity and Diversity, 2002.09797).

Shapes: N generated and M real items, D dimensions.
"""

from __future__ import annotations

import numpy as np

NEAREST = 5
_ROWS_AT_ONCE = 1024


def density_and_coverage(
    generated_ND: np.ndarray, real_MD: np.ndarray, nearest: int = NEAREST
) -> tuple[float, float]:
    """Return how densely real items are surrounded, and how many of them have a generated one near.

    A real item reaches as far as its k-th nearest other real item. Density is how many real items reach a
    generated one, over k: 1 for the real law itself, more where only its densest part is generated.
    Coverage is the share of real items that reach a generated one; it is biased by the size of the sets:
    1 - (1 - 1 / 2)^k or so for the same law and size.

    Args:
        generated_ND: vectors.
        real_MD: vectors, more than `nearest`.
        nearest: k.
    """
    radii_M = _reach(real_MD, nearest)
    reached_N = np.zeros(len(generated_ND))
    covered_M = np.zeros(len(real_MD), bool)
    for start in range(0, len(generated_ND), _ROWS_AT_ONCE):
        part = slice(start, start + _ROWS_AT_ONCE)
        inside = _distances(generated_ND[part], real_MD) <= radii_M[None]
        reached_N[part] = inside.sum(1)
        covered_M |= inside.any(0)
    return float(reached_N.mean() / nearest), float(covered_M.mean())


def _reach(real_MD: np.ndarray, nearest: int) -> np.ndarray:
    radii: list[np.ndarray] = []
    for start in range(0, len(real_MD), _ROWS_AT_ONCE):
        distances = _distances(real_MD[start : start + _ROWS_AT_ONCE], real_MD)
        rows = np.arange(len(distances))
        distances[rows, start + rows] = np.inf  # an item is no neighbour of itself
        radii.append(np.partition(distances, nearest - 1, axis=1)[:, nearest - 1])
    return np.concatenate(radii)


def _distances(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    one, other = one.astype(np.float64), other.astype(np.float64)
    squares = (one**2).sum(1)[:, None] + (other**2).sum(1)[None]
    return np.asarray(np.sqrt(np.maximum(squares - 2 * one @ other.T, 0.0)))
