"""Kernel distances of sets whose distance is known."""

import numpy as np
import pytest

from pipelines.metrics.kernel_distance import KAD_SCALE, kad, kid, median_distance, mmd


def draw(seed, count=400, dims=8, offset=0.0):
    return np.random.default_rng(seed).standard_normal((count, dims)) + offset


def test_the_unbiased_estimate_by_hand():
    """Of two pairs of numbers with the kernel x y: the square of the difference of means, without squares."""
    made, real = np.array([[1.0], [3.0]]), np.array([[2.0], [5.0]])
    # (1*3 + 3*1) / 2 + (2*5 + 5*2) / 2 - 2 * mean of {2, 5, 6, 15}
    assert 3 + 10 - 14 == pytest.approx(mmd(made, real, lambda one, other: one @ other.T))


@pytest.mark.parametrize("distance", [kid, kad])
def test_one_law_is_nought_apart_at_every_size(distance):
    """On average: the estimate goes below nought as often as above, with twenty rows as with hundreds."""
    for count in (20, 200):
        found = [distance(draw(seed, count), draw(seed + 100, count)) for seed in range(20)]
        assert min(found) < 0 < max(found)
        assert abs(np.mean(found)) < 3 * np.std(found) / np.sqrt(20)


@pytest.mark.parametrize("distance", [kid, kad])
def test_another_law_is_apart(distance):
    """Far above what halves of one law have."""
    floor = max(abs(distance(draw(seed), draw(seed + 100))) for seed in range(5))

    assert distance(draw(1), draw(2, offset=1.0)) > 5 * floor


def test_the_polynomial_of_degree_three():
    """Of constant sets a and b in D dimensions: (|a|^2/D + 1)^3 + (|b|^2/D + 1)^3 - 2 (a.b/D + 1)^3."""
    made, real = np.tile([1.0, 0.0], (5, 1)), np.tile([2.0, 2.0], (7, 1))

    assert 1.5**3 + 5.0**3 - 2 * 2.0**3 == pytest.approx(kid(made, real))


def test_the_audio_distance_is_as_wide_as_the_real_set():
    """Two real points 2 apart give the bandwidth 2; a generated set far away is 1 + exp(-1/2) apart."""
    real, made = np.array([[0.0], [2.0]]), np.array([[1e3], [1e3]])

    assert 2 == median_distance(real)
    assert KAD_SCALE * (1 + np.exp(-0.5)) == pytest.approx(kad(made, real))


def test_rows_in_parts_are_the_same_rows():
    """More rows than are compared at once: the diagonal is left out of every part."""
    made, real = draw(0, 1500, 3), draw(1, 1100, 3)
    gram, other, cross = ((one @ two.T / 3 + 1) ** 3 for one, two in ((made,) * 2, (real,) * 2, (made, real)))
    expected = (
        (gram.sum() - np.trace(gram)) / (1500 * 1499)
        + (other.sum() - np.trace(other)) / (1100 * 1099)
        - 2 * cross.mean()
    )

    assert expected == pytest.approx(kid(made, real))
