"""The parts of a VAE's loss, and what keeps its latents in use.

`pipelines/metrics/elbo.py` has the same formulas for scores.

Shapes: N items, D dimensions of the latent.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from pipelines.models.spectrogram_vae import Posterior


def compute_kl(posterior: Posterior, prior: Posterior | None = None) -> Tensor:
    """Return KL(q || p) in nats, `[N, D]`; 0 where q is p.

    Args:
        posterior: q.
        prior: p; the standard normal law if None.
    """
    mean, log_variance = posterior
    if prior is not None:
        mean = (mean - prior.mean) * (-prior.log_variance / 2).exp()
        log_variance = log_variance - prior.log_variance
    return (log_variance.exp() + mean.square() - 1 - log_variance) / 2


def compute_negative_log_likelihood(decoded: Tensor, target: Tensor, log_variance: Tensor) -> Tensor:
    """Return -ln p(x | z) of a normal law with one variance, in nats `[N]`, with its constants.

    Args:
        decoded: means of the law, `[N, ...]`.
        target: x.
        log_variance: ln s^2, of all numbers.
    """
    squares_N = (decoded - target).flatten(1).square().sum(1)
    numbers = target[0].numel()
    constant = numbers * (math.log(2 * math.pi) + log_variance)
    return (constant + squares_N * (-log_variance).exp()) / 2


def keep_free_bits(kl_ND: Tensor, free_nats: float) -> Tensor:
    """Return the KL that counts: of each dimension the mean over the batch, at least `free_nats`; `[]`.

    Kingma et al. 2016, arXiv 1606.04934: a dimension that says less than that is not pushed to say nothing.
    """
    return kl_ND.mean(0).clamp(min=free_nats).sum()


def warm_up(step: int, steps: int) -> float:
    """Return the weight of the KL: from 0 linearly to 1 within `steps` (Bowman et al. 2016)."""
    return min(1.0, step / steps) if steps else 1.0
