"""Guided steps: those of diffusers where nothing leads, and where a known loss leads."""

import pytest
import torch
from diffusers import DDPMScheduler
from torch import nn

from pipelines.errors import ConfigError
from pipelines.generate.guided.sampling import GuidedSampler, Steps
from pipelines.models.respacing import choose_timesteps
from pipelines.train.pocket.pixel_diffusion import SCHEDULER
from tests.pipelines.generate.guided.random_pixels import make_sampler


@pytest.fixture(scope="module")
def sampler():
    return make_sampler()


def seeded(*seeds):
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def test_unguided_steps_are_those_of_diffusers(sampler):
    """With a variance that the net says, over the same times: 20 of them, and a stride of 50."""
    for respacing in ("20", "ddim20"):
        scheduler = DDPMScheduler(**SCHEDULER)
        scheduler.set_timesteps(timesteps=choose_timesteps(respacing, 1000)[::-1])
        (generator,) = seeded(3)
        x = torch.randn((1, 3, 8, 8), generator=generator)
        for time in scheduler.timesteps:
            with torch.no_grad():
                output = sampler._unet(x, time).sample
            x = scheduler.step(output, time, x, generator=generator).prev_sample
        found = sampler.sample(Steps(respacing), seeded(3), None)

        torch.testing.assert_close(found, x.clamp(-1, 1), rtol=0, atol=2e-4)


def test_a_gradient_moves_the_mean_by_the_variance(sampler):
    """One step of DDPM from the same noise, with and without a loss whose gradient through the net is 2."""

    class Still(nn.Module):
        """Says no noise, and the upper bound of the variance."""

        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(1))
            self.config = type("Config", (), {"in_channels": 3, "sample_size": 8})

        def forward(self, x, time):
            sample = torch.cat([0 * x, torch.ones_like(x)], 1)
            return type("Output", (), {"sample": sample})

    still = GuidedSampler(Still().requires_grad_(False), DDPMScheduler(**SCHEDULER))
    at = still._respace("10")[choose_timesteps("10", 1000)[5]]
    x, noise = 0.1 * torch.randn(1, 3, 8, 8), torch.zeros(1, 3, 8, 8)
    free, led = (
        still._step(x, at, noise, Steps("10"), loss)
        for loss in (None, lambda clean, mixed: 2 * at.kept**0.5 * clean.flatten(1).sum(1))
    )

    torch.testing.assert_close(led - free, torch.full_like(x, -2 * at.beta))
    ddim = Steps("10", method="ddim")
    free, led = (
        still._step(x, at, noise, ddim, loss)
        for loss in (None, lambda clean, mixed: 2 * at.kept**0.5 * clean.flatten(1).sum(1))
    )
    # The noise grows by deviation times gradient, and the guessed picture shrinks by what that noise is.
    spread = (1 - at.kept) ** 0.5
    shift = 2 * spread * ((1 - at.kept_next) ** 0.5 - at.kept_next**0.5 * spread / at.kept**0.5)
    torch.testing.assert_close(led - free, torch.full_like(x, shift))


def test_a_picture_does_not_depend_on_its_neighbours(sampler):
    led = sampler.sample(Steps("5"), seeded(1, 2), lambda clean, mixed: mixed.square().flatten(1).sum(1))
    alone = sampler.sample(Steps("5"), seeded(2), lambda clean, mixed: mixed.square().flatten(1).sum(1))

    torch.testing.assert_close(led[1], alone[0], rtol=0, atol=1e-5)


def test_a_first_picture_is_kept_the_more_the_more_steps_are_skipped(sampler):
    first = torch.full((1, 3, 8, 8), 0.5)
    far, near = (
        float((sampler.sample(Steps("20", skip=skip), seeded(0), None, first) - first).square().mean())
        for skip in (5, 19)
    )

    assert near < 0.02 < far
    with pytest.raises(ConfigError, match="20 steps are skipped and there are 20"):
        sampler.sample(Steps("20", skip=20), seeded(0), None, first)
