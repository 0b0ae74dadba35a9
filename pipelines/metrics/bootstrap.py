"""Intervals by the bootstrap over groups: of means, of paired differences and of whole sets.

Rows of one group (the captions of a picture, the pictures of a clip) are no independent draws, so a resample
takes whole groups. Over rows, the interval of five captions a picture was half as wide as over pictures.

Shapes: N rows, G groups.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

_RESAMPLES = 1000
# A statistic of a whole set costs as much as all means together.
_SET_RESAMPLES = 200
_QUANTILES = (0.025, 0.975)
# Random numbers of one draw of groups at most: 64 MB.
_DRAWN_AT_ONCE = 8_000_000


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval.

    Attributes:
        value: NaN if no row has one.
        low: of the interval; NaN where fewer than two groups say nothing about the spread.
        high: of the interval.
        n: rows that count.
        groups: of these rows.
    """

    value: float
    low: float
    high: float
    n: int
    groups: int


def mean(values_N: np.ndarray, groups_N: np.ndarray | None = None, seed: int = 0) -> Estimate:
    """Return the mean of values, with its interval over groups.

    Args:
        values_N: a value a row; rows of NaN do not count.
        groups_N: group of each row, of any type; every row is its own if None.
        seed: of the resamples.
    """
    values_N = np.asarray(values_N, np.float64)
    counts_N = np.isfinite(values_N)
    values, groups_N = values_N[counts_N], None if groups_N is None else np.asarray(groups_N)[counts_N]
    if not len(values):
        return Estimate(np.nan, np.nan, np.nan, 0, 0)
    sums_G, sizes_G = _sum_groups(values, groups_N)
    low, high = _resample_ratio(sums_G, sizes_G, seed)
    return Estimate(float(values.mean()), low, high, len(values), len(sums_G))


def difference(
    first_N: np.ndarray, second_N: np.ndarray, groups_N: np.ndarray | None = None, seed: int = 0
) -> Estimate:
    """Return the mean of first minus second over the rows that both have a value of, with its interval.

    Args:
        first_N: a value a row.
        second_N: of the same rows.
        groups_N: group of each row; every row is its own if None.
        seed: of the resamples.
    """
    return mean(np.asarray(first_N, np.float64) - np.asarray(second_N, np.float64), groups_N, seed)


def statistic(  # noqa: PLR0913
    compute: Callable[..., float],
    groups: Sequence[np.ndarray],
    seed: int = 0,
    *,
    resamples: int = _SET_RESAMPLES,
    least: float = -np.inf,
    most: float = np.inf,
) -> Estimate:
    """Return a statistic of one or several sets of rows, with its interval over groups.

    A resampled set has fewer distinct rows, which alone makes a distance larger: the interval is moved by
    the mean of that.

    Args:
        compute: of the indices of rows of every set, an array each.
        groups: of every set, the group of each row.
        seed: of the resamples.
        resamples: to draw.
        least: that the statistic can be; the interval is cut there.
        most: likewise.
    """
    rows = [np.arange(len(each)) for each in groups]
    value = float(compute(*rows))
    members = [_list_members(each) for each in groups]
    n, count = min(len(each) for each in groups), min(len(each) for each in members)
    if count < 2:
        return Estimate(value, np.nan, np.nan, n, count)
    rng = np.random.default_rng(seed)
    drawn = np.array([float(compute(*(_draw_rows(each, rng) for each in members))) for _ in range(resamples)])
    low, high = np.quantile(drawn - drawn.mean() + value, _QUANTILES)
    low, high = np.clip((low, high), least, most)
    return Estimate(value, float(low), float(high), n, count)


def halves(
    compute: Callable[[np.ndarray, np.ndarray], float],
    groups_N: np.ndarray,
    seed: int = 0,
    *,
    splits: int = 20,
) -> Estimate:
    """Return what a distance finds between two random halves of one set: the floor of that distance.

    The value is the mean over splits, and the interval holds 95 % of them. The halves share no group.

    Args:
        compute: the distance, of the indices of the rows of both halves.
        groups_N: group of each row.
        seed: of the splits.
        splits: to draw.
    """
    members = _list_members(groups_N)
    half = len(members) // 2
    smallest = min(half, len(members) - half)
    if smallest < 2:
        return Estimate(np.nan, np.nan, np.nan, len(groups_N), len(members))
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(splits):
        order = rng.permutation(len(members))
        one, other = (
            np.concatenate([members[group] for group in part]) for part in (order[:half], order[half:])
        )
        found.append(float(compute(one, other)))
    low, high = np.quantile(found, _QUANTILES)
    return Estimate(float(np.mean(found)), float(low), float(high), len(groups_N) // 2, half)


def _sum_groups(values: np.ndarray, groups_N: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Return the sum and the number of the values of every group."""
    if groups_N is None:
        return values, np.ones(len(values))
    _, group_N = np.unique(groups_N, return_inverse=True)
    return np.bincount(group_N, values), np.bincount(group_N).astype(np.float64)


def _resample_ratio(sums_G: np.ndarray, sizes_G: np.ndarray, seed: int) -> tuple[float, float]:
    """Return the interval of the mean of all rows, where groups are drawn with replacement."""
    count = len(sums_G)
    if count < 2:
        return np.nan, np.nan
    rng = np.random.default_rng(seed)
    at_once = max(1, _DRAWN_AT_ONCE // count)
    means: list[np.ndarray] = []
    for start in range(0, _RESAMPLES, at_once):
        drawn = rng.integers(0, count, (min(at_once, _RESAMPLES - start), count))
        means.append(sums_G[drawn].sum(1) / sizes_G[drawn].sum(1))
    low, high = np.quantile(np.concatenate(means), _QUANTILES)
    return float(low), float(high)


def _list_members(groups_N: np.ndarray) -> list[np.ndarray]:
    """Return the rows of every group."""
    _, group_N = np.unique(groups_N, return_inverse=True)
    order = np.argsort(group_N, kind="stable")
    return np.split(order, np.cumsum(np.bincount(group_N))[:-1])


def _draw_rows(members: Sequence[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    drawn = rng.integers(0, len(members), len(members))
    return np.concatenate([members[group] for group in drawn])
