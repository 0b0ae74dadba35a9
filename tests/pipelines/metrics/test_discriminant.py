"""A linear probe whose answers are known."""

import numpy as np

from pipelines.metrics.discriminant import fit_discriminant, read_values


def test_values_along_a_direction_are_read():
    """Three values, each around a centre of its own, in noise that is far wider along another axis."""
    rng = np.random.default_rng(0)
    values = np.array(["low", "middle", "high"])[np.arange(600) % 3]
    vectors = rng.standard_normal((600, 8)) * np.array([0.2, 3, 1, 1, 1, 1, 1, 1])
    vectors[:, 0] += np.arange(600) % 3
    probe = fit_discriminant(vectors[:300], values[:300])

    assert (read_values(vectors[300:], probe) == values[300:]).mean() > 0.85


def test_what_says_nothing_is_read_at_chance():
    """Of eight colours that leave no trace, one in eight is right."""
    rng = np.random.default_rng(0)
    vectors, values = rng.standard_normal((4000, 16)), rng.integers(0, 8, 4000)
    probe = fit_discriminant(vectors[:2000], values[:2000])

    assert abs((read_values(vectors[2000:], probe) == values[2000:]).mean() - 1 / 8) < 0.03
