"""The loss of a net that says its variance: the divergence of two Gaussians, and no gradient to the noise."""

import math

import torch
from diffusers import DDPMScheduler
from torch.distributions import Normal, kl_divergence

from pipelines.train.learned_variance import LearnedVariance, compute_log_likelihood
from pipelines.train.noise import NoiseSchedule, NoisyBatch
from pipelines.train.pocket.pixel_diffusion import SCHEDULER

SCHEDULE = DDPMScheduler(**SCHEDULER)


def draw(time):
    """Return clean pictures, and what a net sees of them at a time."""
    generator = torch.Generator().manual_seed(0)
    clean = torch.rand(2, 3, 4, 4, generator=generator) * 2 - 1
    kept = SCHEDULE.alphas_cumprod[time]
    noise = torch.randn(clean.shape, generator=generator)
    noisy = kept.sqrt() * clean + (1 - kept).sqrt() * noise
    return clean, NoisyBatch(noisy, torch.full((2,), time), noise, torch.ones(2))


def test_who_says_the_noise_and_the_lower_bound_loses_nothing():
    clean, batch = draw(300)
    predicted = torch.cat([batch.target, -torch.ones_like(clean)], 1)

    assert LearnedVariance(SCHEDULE).compute_bound(predicted, batch, clean).abs().max() < 1e-4


def test_the_bound_is_the_divergence_of_the_two_steps():
    """The mean and the variance of the true step are those of diffusers, at half way between the bounds."""
    clean, batch = draw(300)
    said = 0.9 * batch.target
    predicted = torch.cat([said, torch.zeros_like(clean)], 1)
    found = LearnedVariance(SCHEDULE).compute_bound(predicted, batch, clean)
    alphas = SCHEDULE.alphas_cumprod
    now, then = alphas[300], alphas[299]
    beta = 1 - now / then

    def average(picture):
        return (
            then.sqrt() * beta / (1 - now) * picture
            + (now / then).sqrt() * (1 - then) / (1 - now) * batch.noisy
        )

    least = beta * (1 - then) / (1 - now)
    guessed = (batch.noisy - (1 - now).sqrt() * said) / now.sqrt()
    true = Normal(average(clean), least.sqrt())
    own = Normal(average(guessed), (beta * least) ** 0.25)

    torch.testing.assert_close(
        found, kl_divergence(true, own).flatten(1).mean(1) / math.log(2), rtol=2e-3, atol=1e-5
    )


def test_only_the_variance_learns_from_the_bound():
    for time in (0, 300):
        clean, batch = draw(time)
        predicted = torch.zeros(2, 6, 4, 4, requires_grad=True)
        LearnedVariance(SCHEDULE).compute_bound(predicted, batch, clean).sum().backward()

        assert not predicted.grad[:, :3].any()
        assert predicted.grad[:, 3:].abs().sum() > 0


def test_the_chances_of_all_values_add_up_to_one():
    values = torch.arange(256.0) / 127.5 - 1
    for mean, deviation in ((0.1, 0.05), (-0.99, 0.3)):
        logs = compute_log_likelihood(values, torch.tensor(mean), torch.tensor(math.log(deviation)))
        torch.testing.assert_close(logs.exp().sum(), torch.tensor(1.0), rtol=0, atol=1e-3)


def test_the_schedule_draws_what_the_bound_reads():
    """`NoiseSchedule` without weights: the target is the noise."""
    clean, _ = draw(0)
    noisy = NoiseSchedule(SCHEDULE, snr=None).draw(clean, torch.Generator().manual_seed(1))
    kept = SCHEDULE.alphas_cumprod[noisy.times_N][:, None, None, None]

    torch.testing.assert_close(noisy.noisy, kept.sqrt() * clean + (1 - kept).sqrt() * noisy.target)
