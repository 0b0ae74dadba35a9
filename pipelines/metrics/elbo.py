"""The evidence lower bound of a variational autoencoder with all its constants, and what its latents carry.

Shapes: N items, P numbers of an item, D dimensions of the latent.
"""

from __future__ import annotations

import numpy as np

# Burda et al. 2016, Importance Weighted Autoencoders, arXiv 1509.00519: a unit with less is not used.
ACTIVE_VARIANCE = 0.01


def kl_divergence(
    means_ND: np.ndarray,
    log_variances_ND: np.ndarray,
    prior_means_ND: np.ndarray | float = 0.0,
    prior_log_variances_ND: np.ndarray | float = 0.0,
) -> np.ndarray:
    """Return KL(q || p) of diagonal normal laws, in nats [N, D]; 0 where q is p.

    To the standard prior it is (s^2 + m^2 - 1 - ln s^2) / 2. The seed's s^2 + m^2 - ln s - 1/2 is 1/2 there.

    Args:
        means_ND: of q.
        log_variances_ND: ln s^2 of q.
        prior_means_ND: of p.
        prior_log_variances_ND: of p.
    """
    ratios_ND = np.exp(log_variances_ND - prior_log_variances_ND)
    squares_ND = (means_ND - prior_means_ND) ** 2 * np.exp(-np.asarray(prior_log_variances_ND))
    return np.asarray((ratios_ND + squares_ND - 1 - np.log(ratios_ND)) / 2)


def log_likelihood(squared_errors_N: np.ndarray, numbers: int, log_variance: float) -> np.ndarray:
    """Return ln p(x | z) of a normal law with one variance for all numbers, in nats [N].

    Args:
        squared_errors_N: sums of squared errors of items.
        numbers: P.
        log_variance: ln s^2 of the decoder.
    """
    constant = numbers * (np.log(2 * np.pi) + log_variance)
    return np.asarray(-(constant + squared_errors_N * np.exp(-log_variance)) / 2)


def best_log_variance(squared_errors_N: np.ndarray, numbers: int) -> float:
    """Return the ln s^2 at which `log_likelihood` is largest: that of the mean squared error.

    Rybkin et al. 2021, sigma-VAE, arXiv 2006.13202: with it, beta = 1 needs no tuning.
    """
    return float(np.log(squared_errors_N.sum() / (len(squared_errors_N) * numbers)))


def evidence_lower_bound(log_likelihoods_N: np.ndarray, kls_ND: np.ndarray) -> np.ndarray:
    """Return the ELBO of items in nats [N], from one draw of each latent."""
    return np.asarray(log_likelihoods_N - kls_ND.sum(1))


def bits_per_dimension(elbos_N: np.ndarray, numbers: int, scale: float = 1.0) -> float:
    """Return -ELBO / (P ln 2) of numbers before they were standardised.

    Args:
        elbos_N: in nats, of standardised numbers y = (x - m) / scale.
        numbers: P.
        scale: by which x was divided; p(x) = p(y) / scale, which adds log2(scale) bits.
    """
    return float(-elbos_N.mean() / (numbers * np.log(2)) + np.log2(scale))


def active_units(means_ND: np.ndarray, threshold: float = ACTIVE_VARIANCE) -> int:
    """Return how many dimensions of the latent say anything: the variance of their means is over a threshold.

    Args:
        means_ND: of q(z | x) over items; 0 of D is a collapsed posterior.
        threshold: on the variance.
    """
    return int((means_ND.var(0) > threshold).sum())
