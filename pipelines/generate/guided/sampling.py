"""The steps of a guided diffusion: the gradient of the guide goes through the net to the noisy picture.

As in K. Crowson's fork of guided-diffusion: of DDPM the mean is moved by variance times gradient, of DDIM the
noise by its deviation times gradient.

Shapes: N pictures, `[N, 3, H, W]` in -1..1; K cutouts of each.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from pipelines.errors import ConfigError
from pipelines.models.respacing import choose_timesteps

if TYPE_CHECKING:
    from torch import Tensor

# Called with the guessed pictures, and a mixture of them and the noisy ones, -> the loss of each, `[N]`.
ComputeLoss = Callable[["Tensor", "Tensor"], "Tensor"]


@dataclass(frozen=True)
class Steps:
    """How pictures are sampled.

    Attributes:
        respacing: the steps, as guided-diffusion names them.
        method: ddpm or ddim.
        eta: share of DDPM's noise in a step of DDIM.
        skip: steps that are left out where pictures begin with others.
    """

    respacing: str
    method: str = "ddpm"
    eta: float = 0.0
    skip: int = 0

    def list_times(self, total: int) -> list[int]:
        """Return the times of the steps that are taken, descending.

        Raises:
            ConfigError: none is left.
        """
        times = choose_timesteps(self.respacing, total)[::-1]
        if self.skip >= len(times):
            raise ConfigError(
                f"{self.skip} steps are skipped and there are {len(times)}; skip fewer, or take more steps"
            )
        return times[self.skip :]


@dataclass(frozen=True)
class _Time:
    """A step of a respaced schedule.

    Attributes:
        time: that the net is told.
        kept: share of the picture in the variance before the step.
        kept_next: after it.
        beta: the noise of the step, the upper bound of its variance.
        least: the lower bound of its variance.
    """

    time: int
    kept: float
    kept_next: float
    beta: float
    least: float


class GuidedSampler:
    """Samples pictures of an unconditional net.

    Args:
        unet: `UNet2DModel`, which gives noise, with or without a variance.
        scheduler: of diffusers, for its schedule.
    """

    def __init__(self, unet: Any, scheduler: Any) -> None:
        self._unet = unet
        self._alphas = scheduler.alphas_cumprod.double()
        self._channels = int(unet.config.in_channels)
        # A cosine schedule begins with so little of a picture that an error of the noise is 20,000 times as
        # large in the guessed picture; such nets say that it is to be clipped.
        self._clips = bool(scheduler.config.clip_sample)

    @property
    def side_px(self) -> int:
        """The side of its pictures."""
        return int(self._unet.config.sample_size)

    @property
    def total(self) -> int:
        """The times of the schedule."""
        return len(self._alphas)

    def sample(
        self,
        steps: Steps,
        generators: Sequence[torch.Generator],
        compute_loss: ComputeLoss | None,
        first: Tensor | None = None,
        after_step: Callable[[], None] = lambda: None,
    ) -> Tensor:
        """Return pictures.

        Args:
            steps: how.
            generators: one a picture, on the CPU: a GPU draws other numbers.
            compute_loss: what leads them; None for nothing.
            first: pictures that they begin with, `[N, 3, H, W]`; None for noise.
            after_step: called after each step; an exception in it ends the work.
        """
        times = steps.list_times(self.total)
        schedule = self._respace(steps.respacing)
        device = next(self._unet.parameters()).device
        x = self._draw(generators).to(device)
        if first is not None:
            kept = float(self._alphas[times[0]])
            x = kept**0.5 * first.to(device) + (1 - kept) ** 0.5 * x
        for time in times:
            noise = self._draw(generators).to(device)
            x = self._step(x, schedule[time], noise, steps, compute_loss)
            after_step()
        return x.clamp(-1, 1)

    def _draw(self, generators: Sequence[torch.Generator]) -> Tensor:
        shape = (1, self._channels, self.side_px, self.side_px)
        return torch.cat([torch.randn(shape, generator=each) for each in generators])

    def _respace(self, respacing: str) -> dict[int, _Time]:
        """Return the schedule of the steps that are taken, by their times."""
        times = choose_timesteps(respacing, self.total)
        kept = [float(self._alphas[time]) for time in times]
        before = [1.0, *kept[:-1]]
        betas = [1 - now / then for now, then in zip(kept, before, strict=True)]
        least = [beta * (1 - then) / (1 - now) for beta, now, then in zip(betas, kept, before, strict=True)]
        # That of the last step is 0, which has no logarithm; guided-diffusion takes its neighbour's.
        least[0] = least[1] if len(least) > 1 else betas[0]
        return {
            time: _Time(time, now, then, beta, small)
            for time, now, then, beta, small in zip(times, kept, before, betas, least, strict=True)
        }

    def _step(
        self, x: Tensor, at: _Time, noise: Tensor, steps: Steps, compute_loss: ComputeLoss | None
    ) -> Tensor:
        """Return pictures one step further.

        Args:
            x: noisy pictures.
            at: of the step.
            noise: of the step.
            steps: how.
            compute_loss: what leads them.
        """
        now, then = at.kept, at.kept_next
        with torch.set_grad_enabled(compute_loss is not None):
            x = x.detach().requires_grad_(compute_loss is not None)
            output = self._unet(x, torch.full((len(x),), at.time, device=x.device)).sample.float()
            guessed_noise, said = output[:, : self._channels], output[:, self._channels :]
            clean = (x - (1 - now) ** 0.5 * guessed_noise) / now**0.5
            clean = clean.clamp(-1, 1) if self._clips else clean
            gradient = None
            if compute_loss is not None:
                share = (1 - now) ** 0.5
                losses = compute_loss(clean, clean * share + x * (1 - share))
                gradient = -torch.autograd.grad(losses.sum(), x)[0]
        x, clean, guessed_noise = x.detach(), clean.detach(), guessed_noise.detach()
        if steps.method == "ddim":
            guessed_noise = (x - now**0.5 * clean) / (1 - now) ** 0.5
            if gradient is not None:
                guessed_noise = guessed_noise - (1 - now) ** 0.5 * gradient
                clean = (x - (1 - now) ** 0.5 * guessed_noise) / now**0.5
            deviation = steps.eta * ((1 - then) / (1 - now)) ** 0.5 * max(0.0, 1 - now / then) ** 0.5
            left = max(0.0, 1 - then - deviation**2) ** 0.5
            moved: Tensor = then**0.5 * clean + left * guessed_noise + deviation * noise
            return moved
        mean: Tensor = (
            then**0.5 * at.beta / (1 - now) * clean + (now / then) ** 0.5 * (1 - then) / (1 - now) * x
        )
        variance = _compute_variance(said.detach(), at)
        if gradient is not None:
            mean = mean + variance * gradient
        # The last step adds no noise.
        return mean + variance.sqrt() * noise if then < 1 else mean


def _compute_variance(said: Tensor, at: _Time) -> Tensor:
    """Return the variance of a step: where a net says it, between its two bounds."""
    if not said.shape[1]:
        return torch.tensor(at.least, device=said.device)
    share = (said + 1) / 2
    logarithm: Tensor = share * math.log(at.beta) + (1 - share) * math.log(at.least)
    return logarithm.exp()
