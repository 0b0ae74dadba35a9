"""Intervals over groups, against what is known of them."""

import numpy as np
import pytest

from pipelines.metrics import bootstrap
from pipelines.metrics.frechet import frechet


def test_the_interval_of_a_mean_is_that_of_its_standard_error():
    """1.96 standard errors on both sides, for independent rows."""
    values = np.random.default_rng(0).standard_normal(400)
    found = bootstrap.mean(values)
    error = values.std() / 20

    assert values.mean() == pytest.approx(found.value)
    assert 2 * 1.96 * error == pytest.approx(found.high - found.low, rel=0.1)
    assert (400, 400) == (found.n, found.groups)


def test_copies_of_rows_narrow_no_interval():
    """Five captions a picture: over rows the interval is 1 / sqrt(5) of the one over pictures."""
    pictures = np.random.default_rng(0).standard_normal(200)
    rows, groups = np.repeat(pictures, 5), np.repeat(np.arange(200), 5)
    over_rows, over_groups = bootstrap.mean(rows), bootstrap.mean(rows, groups)
    alone = bootstrap.mean(pictures)

    assert alone.high - alone.low == pytest.approx(over_groups.high - over_groups.low, rel=0.01)
    assert np.sqrt(5) == pytest.approx(
        (over_groups.high - over_groups.low) / (over_rows.high - over_rows.low), rel=0.1
    )
    assert (1000, 200) == (over_groups.n, over_groups.groups)


def test_groups_of_unequal_size_weigh_by_their_rows():
    """The value is the mean over rows, whatever the groups; names of groups may be of any kind."""
    found = bootstrap.mean(np.array([0.0, 0, 0, 1]), np.array(["a", "a", "a", "b"]))

    assert 0.25 == found.value
    assert (0, 1) == (found.low, found.high)


def test_paired_differences_are_narrower_than_two_means():
    """Two ways on the same scenes: what the scenes share cancels."""
    rng = np.random.default_rng(0)
    scenes = rng.standard_normal(300)
    first, second = scenes + 0.1, scenes + 0.01 * rng.standard_normal(300)
    found = bootstrap.difference(first, second)

    assert 0.1 == pytest.approx(found.value, abs=0.01)
    assert 0 < found.low < found.high < 0.2


def test_rows_without_a_value_do_not_count():
    """In a difference neither side may lack it; without any row there is no number."""
    one, other = np.array([1.0, np.nan, 3]), np.array([0.0, 2, np.nan])

    assert (1.0, 1) == (bootstrap.difference(one, other).value, bootstrap.difference(one, other).n)
    assert np.isnan(bootstrap.mean(np.array([np.nan])).value)
    assert np.isnan(bootstrap.mean(np.array([1.0, 2]), np.array([7, 7])).low)


def test_the_interval_of_a_distance_lies_around_it():
    """Resampling alone makes a Fréchet distance larger, which is taken off; groups widen it."""
    rng = np.random.default_rng(0)
    made, real = (np.repeat(rng.standard_normal((20, 4)), 3, axis=0) + shift for shift in (0, 2))

    def compute(one, other):
        return frechet(made[one], real[other])

    rows = bootstrap.statistic(compute, [np.arange(60)] * 2, least=0.0)
    groups = bootstrap.statistic(compute, [np.arange(60) // 3] * 2, least=0.0)

    assert frechet(made, real) == rows.value
    assert rows.low < rows.value < rows.high
    assert groups.high - groups.low > 1.3 * (rows.high - rows.low)
    assert (60, 20) == (groups.n, groups.groups)
    assert rows == bootstrap.statistic(compute, [np.arange(60)] * 2, least=0.0)


def test_the_floor_is_what_two_halves_of_one_set_are_apart():
    """It does not reach 0 for a Fréchet distance of few rows; the halves share no group."""
    real = np.random.default_rng(0).standard_normal((100, 8))
    seen = []

    def compute(one, other):
        seen.append(set(one // 10) & set(other // 10))
        return frechet(real[one], real[other])

    floor = bootstrap.halves(compute, np.arange(100) // 10)

    assert 0 < floor.low < floor.value < floor.high
    assert seen == [set()] * 20
    assert np.isnan(bootstrap.halves(compute, np.array([0, 0, 1])).value)
