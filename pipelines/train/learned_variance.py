"""The loss of a diffusion net that says its own variance, of improved DDPM (Nichol & Dhariwal, 2102.09672).

The net has twice the channels of a picture: the noise, and where between two bounds the log-variance of a
step lies. The bound on the likelihood trains the variance alone; the noise is trained by its squared error.

Shapes: N pictures, `[N, C, H, W]` in -1..1.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch

from pipelines.train.noise import NoisyBatch

if TYPE_CHECKING:
    from torch import Tensor

# Half the distance between two of 256 values in -1..1.
_HALF_STEP = 1 / 255


class LearnedVariance:
    """The bounds and means of the steps of a schedule.

    Args:
        scheduler: of diffusers, with `alphas_cumprod` and `betas`, predicting noise.
    """

    def __init__(self, scheduler: Any) -> None:
        alphas = scheduler.alphas_cumprod.double()
        before = torch.cat([torch.ones(1, dtype=alphas.dtype), alphas[:-1]])
        betas = 1 - alphas / before
        posterior = betas * (1 - before) / (1 - alphas)
        # The first one is 0; its logarithm is that of the second.
        self._log_small = posterior.clamp(min=float(posterior[1])).log().float()
        self._log_large = betas.log().float()
        self._of_clean = (betas * before.sqrt() / (1 - alphas)).float()
        self._of_noisy = ((1 - before) * (betas.neg() + 1).sqrt() / (1 - alphas)).float()
        self._alphas = alphas.float()

    def compute_bound(self, predicted: Tensor, batch: NoisyBatch, clean: Tensor) -> Tensor:
        """Return the terms of the variational bound in bits a number, `[N]`, with no gradient to the noise.

        Args:
            predicted: noise and variance, `[N, 2 C, H, W]`.
            batch: what the net saw.
            clean: without noise.
        """
        noise, share = predicted.chunk(2, 1)
        times = batch.times_N.to(predicted.device)
        log_true, log_own = self._interpolate(times, None), self._interpolate(times, share)
        kept = _pick(self._alphas, times).sqrt()
        lost = (1 - _pick(self._alphas, times)).sqrt()
        guessed = (batch.noisy - lost * noise.detach()) / kept
        true, own = (self._average(times, each, batch.noisy) for each in (clean, guessed))
        apart = 0.5 * (
            log_own - log_true + (log_true - log_own).exp() - 1 + (true - own) ** 2 * (-log_own).exp()
        )
        said = -compute_log_likelihood(clean, own, 0.5 * log_own)
        terms = torch.where(times[:, None, None, None] == 0, said, apart)
        return terms.flatten(1).mean(1) / math.log(2)

    def _average(self, times: Tensor, clean: Tensor, noisy: Tensor) -> Tensor:
        """Return the mean of the step before, given what the picture is without noise."""
        return _pick(self._of_clean, times) * clean + _pick(self._of_noisy, times) * noisy

    def _interpolate(self, times: Tensor, share: Tensor | None) -> Tensor:
        """Return log-variances: the true one, or by what a net says between -1 and 1."""
        small = _pick(self._log_small, times)
        if share is None:
            return small
        part = (share + 1) / 2
        return part * _pick(self._log_large, times) + (1 - part) * small


def compute_log_likelihood(values: Tensor, mean: Tensor, log_deviation: Tensor) -> Tensor:
    """Return the log-probability of one of 256 values under a Gaussian that is cut into as many.

    Args:
        values: in -1..1.
        mean: of the Gaussian.
        log_deviation: of it.
    """
    narrow = torch.exp(-log_deviation)
    above = _compute_cdf((values - mean + _HALF_STEP) * narrow)
    below = _compute_cdf((values - mean - _HALF_STEP) * narrow)
    # What is beyond the ends belongs to the first and the last value.
    chance = torch.where(values < -0.999, above, torch.where(values > 0.999, 1 - below, above - below))
    return chance.clamp(min=1e-12).log()


def _compute_cdf(values: Tensor) -> Tensor:
    return 0.5 * (1 + torch.erf(values / math.sqrt(2)))


def _pick(of_time: Tensor, times: Tensor) -> Tensor:
    return of_time.to(times.device)[times][:, None, None, None]
