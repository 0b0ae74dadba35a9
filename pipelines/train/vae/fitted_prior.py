"""The laws of the latents of training sounds, from which a trained VAE generates.

Shapes: N sounds, D dimensions of the latent, C classes.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pipelines.models.spectrogram_vae import Posterior
from pipelines.models.vae_files import FittedPrior

_JITTER = 1e-4


def fit_prior(posterior: Posterior, classes_N: Tensor, classes: int) -> FittedPrior:
    """Return a normal law of each class and, last, of all sounds: that of draws from their posteriors.

    A class of few sounds is shrunk towards the covariance within all classes, as if D more sounds had it; a
    class without any has the law of all.

    Args:
        posterior: of training sounds.
        classes_N: of each; C for none.
        classes: C.
    """
    means_ND, noise_ND = posterior.mean.double().cpu(), posterior.log_variance.double().exp().cpu()
    classes_N = classes_N.cpu()
    dims = means_ND.shape[1]
    whole = _measure(means_ND, noise_ND)
    laws = [_measure(means_ND[classes_N == each], noise_ND[classes_N == each]) for each in range(classes)]
    counts = [int((classes_N == each).sum()) for each in range(classes)]
    known = sum(counts)
    within = whole[1]
    if known:
        within = torch.stack([c * law[1] for c, law in zip(counts, laws, strict=True) if c]).sum(0) / known
    found = [
        (law[0], (count * law[1] + dims * within) / (count + dims)) if count else whole
        for count, law in zip(counts, laws, strict=True)
    ]
    means = torch.stack([mean for mean, _ in [*found, whole]])
    covariances = torch.stack([covariance for _, covariance in [*found, whole]])
    factors = torch.linalg.cholesky(covariances + _JITTER * torch.eye(dims, dtype=torch.float64))
    return FittedPrior(means.float(), factors.float())


def _measure(means_ND: Tensor, noise_ND: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and covariance of draws from some posteriors; zeros of none."""
    count, dims = means_ND.shape
    if not count:
        return means_ND.new_zeros(dims), means_ND.new_zeros(dims, dims)
    mean_D = means_ND.mean(0)
    centred_ND = means_ND - mean_D
    return mean_D, centred_ND.T @ centred_ND / count + torch.diag(noise_ND.mean(0))
