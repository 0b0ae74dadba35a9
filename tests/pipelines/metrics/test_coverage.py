"""Density and coverage of sets whose overlap is known."""

import numpy as np
import pytest

from pipelines.metrics.coverage import density_and_coverage


def test_a_line_by_hand():
    """Real 0, 1, 2, 10 reach 1, 1, 1, 8 (k = 1): 0.5 lies in two of them, 6 in the last one's alone."""
    real = np.array([[0.0], [1.0], [2.0], [10.0]])
    density, coverage = density_and_coverage(np.array([[0.5], [6.0]]), real, nearest=1)

    assert (2 + 1) / 2 == density
    assert 3 / 4 == coverage


def test_the_same_law_has_a_density_of_one():
    """And it covers nearly all; one point of it covers nearly nothing, far away nothing at all."""
    one, other = (np.random.default_rng(seed).standard_normal((800, 4)) for seed in (0, 1))
    density, coverage = density_and_coverage(one, other)

    assert 1 == pytest.approx(density, abs=0.1)
    assert coverage > 0.9
    assert density_and_coverage(np.repeat(other[:1], 800, 0), other)[1] < 0.05
    assert (0, 0) == density_and_coverage(one + 100, other)


def test_many_rows_are_compared_in_parts():
    """The parts together are the whole."""
    made, real = (np.random.default_rng(seed).standard_normal((1100, 2)) for seed in (2, 3))
    distances = np.linalg.norm(made[:, None] - real[None], axis=-1)
    own = np.sort(np.linalg.norm(real[:, None] - real[None], axis=-1), axis=1)[:, 5]
    inside = distances <= own[None]

    assert (inside.sum(1).mean() / 5, inside.any(0).mean()) == pytest.approx(density_and_coverage(made, real))
