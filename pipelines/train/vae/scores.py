"""Scores of a VAE of spectrograms on sounds that it was not trained on, with all constants of the ELBO.

Shapes: N segments, D dimensions of the latent.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch

from pipelines.metrics import elbo
from pipelines.models.spectrogram_vae import ModernVae, Posterior
from pipelines.models.vae_files import decode_with, encode_with
from pipelines.train.vae.data import SegmentBatch
from pipelines.train.vae_losses import compute_kl
from schemas.spectrogram_vae import VaeCard

if TYPE_CHECKING:
    from torch import Tensor, nn

_CHUNK = 64
# A dimension that says less than a hundredth of a nat has collapsed onto its prior.
_COLLAPSED_NATS = 0.01


def score_vae(
    net: nn.Module, card: VaeCard, held: SegmentBatch, training: SegmentBatch, seed: int = 0
) -> dict[str, float]:
    """Return the ELBO of held-out sounds, and its parts.

    Args:
        net: for inference.
        card: of it.
        held: sounds of other sources than those trained on.
        training: sounds that give the variance of a net which learns none: their mean squared error.
        seed: of the one draw of each latent.

    Returns:
        `elbo_nats` a sound, with one draw of the latent and the class told where there is one;
        `bits_per_dimension` of decibels;
        `reconstruction_nats` = ln p(x | z) and `kl_nats`, whose difference is the ELBO;
        `active_units` (variance of the means over 0.01), `collapsed_units` (a KL below 0.01 nat) and `units`;
        `error_db`: the root mean squared error of a number of the spectrogram;
        `deviation_db`: of the decoder's noise.
    """
    numbers = held.spectrograms[0].numel()
    if isinstance(net, ModernVae):
        log_variance = float(net.find_log_variance().detach())
    else:
        squares_N = np.concatenate([squares for squares, _, _ in _run(net, training, seed)])
        log_variance = elbo.best_log_variance(squares_N, numbers)
    parts = list(_run(net, held, seed))
    squares_N = np.concatenate([squares for squares, _, _ in parts])
    kls_ND = np.concatenate([kls for _, kls, _ in parts])
    means_ND = np.concatenate([means for _, _, means in parts])
    likelihoods_N = elbo.log_likelihood(squares_N, numbers, log_variance)
    elbos_N = elbo.evidence_lower_bound(likelihoods_N, kls_ND)
    scale = card.front.db_per_unit
    return {
        "elbo_nats": float(elbos_N.mean()),
        "bits_per_dimension": elbo.bits_per_dimension(elbos_N, numbers, scale),
        "reconstruction_nats": float(likelihoods_N.mean()),
        "kl_nats": float(kls_ND.sum(1).mean()),
        "active_units": float(elbo.active_units(means_ND)),
        "collapsed_units": float((kls_ND.mean(0) < _COLLAPSED_NATS).sum()),
        "units": float(kls_ND.shape[1]),
        "error_db": float(np.sqrt(squares_N.mean() / numbers) * scale),
        "deviation_db": float(np.exp(log_variance / 2) * scale),
    }


def _run(
    net: nn.Module, batch: SegmentBatch, seed: int
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield squared errors `[n]`, KL divergences `[n, D]` and means of latents `[n, D]`."""
    generator = torch.Generator().manual_seed(seed)
    device = next(net.parameters()).device
    with torch.inference_mode():
        for start in range(0, len(batch.spectrograms), _CHUNK):
            part = slice(start, start + _CHUNK)
            target, classes_n = batch.spectrograms[part].to(device), batch.classes_N[part].to(device)
            posterior = encode_with(net, target, classes_n)
            noise = torch.randn(posterior.mean.shape, generator=generator).to(device)
            decoded = decode_with(net, posterior.sample(noise), classes_n)
            squares_n = (decoded - target).flatten(1).square().sum(1)
            kls_nD = compute_kl(posterior, find_prior_with(net, classes_n, posterior.mean))
            yield tuple(each.double().cpu().numpy() for each in (squares_n, kls_nD, posterior.mean))  # type: ignore[misc]


def find_prior_with(net: nn.Module, classes_N: Tensor | None, like: Tensor) -> Posterior | None:
    """Return the prior of classes; None, the standard one, of the seed's net."""
    return net.find_prior(classes_N, like) if isinstance(net, ModernVae) else None
