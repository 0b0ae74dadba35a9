"""Intervals of shares."""

from __future__ import annotations

import math

_NORMAL_95 = 1.959964


def compute_wilson(right: int, count: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a share.

    Args:
        right: of `count`.
        count: at least 1.
    """
    share, z2 = right / count, _NORMAL_95**2
    centre = (share + z2 / (2 * count)) / (1 + z2 / count)
    half = _NORMAL_95 / (1 + z2 / count) * math.sqrt(share * (1 - share) / count + z2 / (4 * count**2))
    return max(0.0, centre - half), min(1.0, centre + half)
