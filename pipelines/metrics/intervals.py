"""Intervals of shares."""

from __future__ import annotations

import math

# Standard deviations of 95 %.
_Z = 1.959963984540054


def compute_wilson(right: int, count: int) -> tuple[float, float]:
    """Return the 95 % interval of a share (Wilson 1927): inside 0..1 for every count, 0 to 1 of none.

    Args:
        right: of them.
        count: of all.
    """
    if not count:
        return 0.0, 1.0
    share, square = right / count, _Z**2 / count
    middle = (share + square / 2) / (1 + square)
    half = _Z * math.sqrt(share * (1 - share) / count + square / (4 * count)) / (1 + square)
    return max(0.0, middle - half), min(1.0, middle + half)
