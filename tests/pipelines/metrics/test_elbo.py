import numpy as np
import pytest

from pipelines.metrics import elbo


def test_the_kl_is_zero_at_the_prior():
    """The seed's formula gives 1/2 a dimension there, and is least at another variance."""
    log_variances_N1 = np.linspace(-2, 2, 4001)[:, None]
    kl_N1 = elbo.kl_divergence(np.zeros((4001, 1)), log_variances_N1)
    variances_N1 = np.exp(log_variances_N1)
    seed_N1 = variances_N1 - log_variances_N1 / 2 - 0.5

    assert elbo.kl_divergence(np.zeros((1, 3)), np.zeros((1, 3))).tolist() == [[0, 0, 0]]
    assert variances_N1[kl_N1.argmin()] == pytest.approx(1, abs=1e-3)
    assert (seed_N1[2000, 0], variances_N1[seed_N1.argmin(), 0]) == pytest.approx((0.5, 0.5), abs=1e-3)


def test_the_kl_is_that_of_draws():
    """Mean of ln q - ln p over draws of q, between two laws that are both not standard."""
    rng = np.random.default_rng(0)
    mean, deviation, prior_mean, prior_deviation = 0.7, 0.5, -0.2, 1.5
    draws = rng.normal(mean, deviation, 400_000)
    log_ratio = (
        ((draws - prior_mean) / prior_deviation) ** 2 / 2
        - ((draws - mean) / deviation) ** 2 / 2
        + np.log(prior_deviation / deviation)
    )
    kl = elbo.kl_divergence(
        np.array([[mean]]), np.array([[2 * np.log(deviation)]]), prior_mean, 2 * np.log(prior_deviation)
    )

    assert kl[0, 0] == pytest.approx(log_ratio.mean(), abs=0.005)


def test_the_elbo_is_the_evidence_if_the_posterior_is_exact():
    """Of x = z + noise with a standard z p(x) is N(0, 1 + s^2), and q(z | x) is known in closed form."""
    rng = np.random.default_rng(1)
    variance = 0.25
    x_N1 = rng.normal(0, np.sqrt(1 + variance), (2000, 1))
    gain = 1 / (1 + variance)
    means_N1, log_variances_N1 = gain * x_N1, np.full((2000, 1), np.log(variance * gain))
    # The expected squared error over q, in place of draws.
    errors_N = ((x_N1 - means_N1) ** 2 + variance * gain)[:, 0]
    bounds_N = elbo.evidence_lower_bound(
        elbo.log_likelihood(errors_N, 1, np.log(variance)), elbo.kl_divergence(means_N1, log_variances_N1)
    )
    evidence_N = -(x_N1[:, 0] ** 2 / (1 + variance) + np.log(2 * np.pi * (1 + variance))) / 2

    np.testing.assert_allclose(bounds_N, evidence_N, atol=1e-9)
    # The entropy of a normal law in bits: log2(s sqrt(2 pi e)).
    assert elbo.bits_per_dimension(bounds_N, 1) == pytest.approx(
        np.log2(np.sqrt(2 * np.pi * np.e * (1 + variance))), abs=0.05
    )


def test_bits_of_numbers_before_they_were_scaled():
    """A law that is twice as wide needs one bit more a number."""
    elbos_N = np.array([-10.0, -12.0])

    assert elbo.bits_per_dimension(elbos_N, 4, 2.0) == pytest.approx(elbo.bits_per_dimension(elbos_N, 4) + 1)
    assert elbo.bits_per_dimension(np.array([-4 * np.log(2)]), 4) == pytest.approx(1)


def test_the_best_variance_is_the_mean_squared_error():
    """The likelihood falls on both sides of it."""
    errors_N = np.array([3.0, 5.0, 4.0])
    best = elbo.best_log_variance(errors_N, 8)
    sums = [elbo.log_likelihood(errors_N, 8, best + by).sum() for by in (-0.01, 0, 0.01)]

    assert best == pytest.approx(np.log(0.5))
    assert sums[1] == max(sums)


def test_active_units():
    """A dimension whose mean is the same for every item says nothing."""
    rng = np.random.default_rng(2)
    means_ND = rng.normal(0, [1.0, 0.05, 0.2, 0.0], (5000, 4))

    assert elbo.active_units(means_ND) == 2
    assert elbo.active_units(np.ones((10, 4))) == 0
