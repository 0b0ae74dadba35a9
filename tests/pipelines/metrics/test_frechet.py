"""The Fréchet distance of sets whose distance is known."""

import numpy as np
import pytest

from pipelines.metrics.frechet import frechet, frechet_infinity, is_too_few

RNG = np.random.default_rng(7)


def gaussian(count, mean_D, deviations_D, seed=0):
    """Vectors whose mean and covariance are exactly these: drawn, whitened, stretched."""
    drawn = np.random.default_rng(seed).standard_normal((count, len(mean_D)))
    drawn -= drawn.mean(0)
    white = np.linalg.qr(drawn)[0] * np.sqrt(count - 1)
    return white * deviations_D + mean_D


@pytest.mark.parametrize("count", [pytest.param(50, id="more-than-dims"), pytest.param(9, id="one-more")])
def test_the_distance_of_known_gaussians(count):
    """Between diagonal covariances it is |difference of means|^2 + sum of (difference of deviations)^2."""
    made = gaussian(count, np.zeros(8), np.arange(1.0, 9.0), seed=1)
    real = gaussian(count, np.full(8, 0.5), np.full(8, 2.0), seed=1)
    expected = 8 * 0.25 + ((np.arange(1.0, 9.0) - 2) ** 2).sum()

    assert expected == pytest.approx(frechet(made, real), rel=1e-9)


def test_the_distance_to_itself_is_nought():
    """With fewer vectors than dimensions, too, where the covariance has no full rank."""
    for shape in ((200, 16), (10, 64)):
        vectors = RNG.standard_normal(shape)

        assert 0 == pytest.approx(frechet(vectors, vectors), abs=1e-9)


@pytest.mark.parametrize(
    ("made", "real"),
    [pytest.param(40, 60, id="many"), pytest.param(9, 14, id="few"), pytest.param(9, 60, id="few-and-many")],
)
def test_the_distance_is_that_of_the_covariances(made, real):
    """The textbook formula, with the root of the product taken by its eigenvalues, gives the same."""
    made_ND = RNG.standard_normal((made, 12)) @ RNG.standard_normal((12, 12))
    real_MD = RNG.standard_normal((real, 12)) + 1
    first, second = np.cov(made_ND.T), np.cov(real_MD.T)
    root = np.sqrt(np.linalg.eigvals(first @ second).astype(complex)).real.sum()
    apart = made_ND.mean(0) - real_MD.mean(0)
    expected = apart @ apart + np.trace(first) + np.trace(second) - 2 * root

    assert expected == pytest.approx(frechet(made_ND, real_MD), rel=1e-5)


def test_endless_sets_of_one_law_are_nought_apart():
    """Two sets of 140 in 128 dimensions are 61 apart, which is their size alone."""
    one, other = (np.random.default_rng(seed).standard_normal((140, 128)) for seed in (0, 1))
    large = [np.random.default_rng(seed).standard_normal((1000, 8)) for seed in (0, 1)]

    assert 61 == pytest.approx(frechet(one, other), abs=6)
    assert frechet(*large) > 0.03
    assert 0 == pytest.approx(frechet_infinity(*large), abs=0.04)


def test_endless_sets_of_two_laws_are_as_far_apart_as_the_laws():
    """With a mean moved by 2 in one of 8 dimensions: 4. fadtk's form keeps the bias of the real set."""
    made = np.random.default_rng(0).standard_normal((600, 8)) + 2 * np.eye(8)[0]
    real = np.random.default_rng(1).standard_normal((600, 8))

    assert 4 == pytest.approx(frechet_infinity(made, real), abs=0.4)
    assert frechet_infinity(made, real, sample_real=False) != frechet_infinity(made, real)


@pytest.mark.parametrize(("rows", "expected"), [(128, True), (140, True), (1279, True), (1280, False)])
def test_sets_below_ten_rows_a_dimension_are_too_few(rows, expected):
    """140 rows of 128 dimensions passed once, with a distance of 61 between two sets of one law."""
    assert expected == is_too_few(rows, 128)
