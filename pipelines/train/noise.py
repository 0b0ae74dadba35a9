"""The noise that a diffusion model is trained with: a schedule's, with the target and weight of each time.

Shapes: N latents, `[N, C, H, W]`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from pipelines.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor

# Min-SNR loss weights, clamped here: nearly clean and nearly pure-noise steps teach less than those between
# (Hang et al. 2023, arXiv 2303.09556).
_SNR = 5.0


@dataclass(frozen=True, eq=False)
class NoisyBatch:
    """What a UNet sees of a batch, and what it is to say.

    Attributes:
        noisy: latents with noise.
        times_N: of the schedule, int64.
        target: noise or velocity, as the schedule says.
        weights_N: of the errors.
    """

    noisy: Tensor
    times_N: Tensor
    target: Tensor
    weights_N: Tensor


class NoiseSchedule:
    """A schedule of diffusers, as its training needs it.

    Args:
        scheduler: of diffusers, with `alphas_cumprod`.
        snr: the clamp of min-SNR weights; None for weights of 1.
    """

    def __init__(self, scheduler: Any, snr: float | None = _SNR) -> None:
        self._kind = str(scheduler.config.prediction_type)
        if self._kind not in ("epsilon", "v_prediction"):
            raise ConfigError(
                f"the base's scheduler has the prediction_type {self._kind!r}; it can be trained with "
                "epsilon or v_prediction"
            )
        self._alphas = scheduler.alphas_cumprod.float()
        ratio = self._alphas / (1 - self._alphas)
        over = ratio + 1 if self._kind == "v_prediction" else ratio
        self._weights = torch.ones_like(ratio) if snr is None else ratio.clamp(max=snr) / over

    def draw(self, clean: Tensor, generator: torch.Generator) -> NoisyBatch:
        """Return latents with noise of random times.

        Args:
            clean: on the CPU, float32.
            generator: of the step, on the CPU.
        """
        times_N = torch.randint(0, len(self._alphas), (len(clean),), generator=generator)
        noise = torch.randn(clean.shape, generator=generator)
        kept = self._alphas[times_N].sqrt()[:, None, None, None]
        lost = (1 - self._alphas[times_N]).sqrt()[:, None, None, None]
        target = kept * noise - lost * clean if self._kind == "v_prediction" else noise
        return NoisyBatch(kept * clean + lost * noise, times_N, target, self._weights[times_N])
