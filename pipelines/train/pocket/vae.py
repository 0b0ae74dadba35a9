"""Trains the VAE of the pocket AudioLDM: spectrograms to latents of a quarter of the numbers, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.compute.device import choose_device
from pipelines.train.pocket.audioldm_data import FRAMES, HOP, SAMPLES, SoundSampler, compute_log_mels
from pipelines.train.pocket.vae_init import tune
from pipelines.train.trainer import Recipe, Trainer, set_fast_math

if TYPE_CHECKING:
    from torch import Tensor

STEPS = 1_000
# Small: what it begins with, the principal components of patches, is to be refined and not forgotten.
RATE = 2e-4
# Eight times smaller in both directions: the UNet, which is asked at every step of the diffusion, has a
# quarter of the work that latents of AudioLDM's size would make.
CONFIG: dict[str, Any] = {
    "in_channels": 1,
    "out_channels": 1,
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "block_out_channels": [16, 32, 48, 48],
    "layers_per_block": 1,
    "latent_channels": 16,
    "norm_num_groups": 4,
    "mid_block_add_attention": False,
}
# Of a crop, 1.28 s: more steps teach more than longer crops.
_FRAMES = 64
_BEGINS_WITH = 100  # sounds, whose components are taken
# Of the divergence from a normal distribution, a number of a latent: enough to keep latents smooth.
_DIVERGENCE = 1e-3


def train_vae(sounds: SoundSampler, recipe: Recipe) -> Any:
    """Return the trained VAE, its `scaling_factor` such that latents have a spread of 1.

    Args:
        sounds: to learn from.
        recipe: of the training.
    """
    import diffusers
    import torch

    torch.manual_seed(recipe.seed)
    made_of: Any = diffusers.AutoencoderKL
    net = made_of(**CONFIG)
    tune(net, compute_mels(sounds, range(min(_BEGINS_WITH, len(sounds)))))
    part = Trainer("vae", net.to(choose_device()), RATE, recipe)

    def lesson(step: int) -> Tensor:
        rng = np.random.default_rng([recipe.seed, step])
        indices = rng.choice(len(sounds), recipe.sizes.vae_batch, replace=False)
        first = int(rng.integers(FRAMES - _FRAMES + 1)) * HOP
        mels = compute_mels(sounds, indices, first, _FRAMES * HOP)[:, None].to(choose_device())
        noise = torch.Generator(choose_device()).manual_seed(step)
        with set_fast_math():
            posterior = part.net.encode(mels).latent_dist
            made = part.net.decode(posterior.sample(noise)).sample
        # What is loud is the event, what is soft the noise behind it.
        missed: Tensor = ((made.float() - mels).abs() * (1 + mels.clamp(min=0))).mean()
        far: Tensor = posterior.kl().mean() / posterior.mean[0].numel()
        return missed + _DIVERGENCE * far

    part.train(lesson)
    vae = part.get_averaged_net()
    vae.register_to_config(scaling_factor=1 / _spread(vae, sounds))
    return vae


def compute_mels(sounds: SoundSampler, indices: Any, first: int = 0, samples: int = SAMPLES) -> Tensor:
    """Return the spectrograms of sounds, or of parts of them, `[N, F, M]`."""
    import torch

    return compute_log_mels(
        torch.from_numpy(np.stack([sounds.read_wave(int(i), first, samples) for i in indices]))
    )


def _spread(vae: Any, sounds: SoundSampler) -> float:
    """Return the standard deviation of the latents of some sounds."""
    import torch

    with torch.no_grad():
        mels = compute_mels(sounds, range(min(64, len(sounds))))[:, None].to(choose_device())
        return float(vae.encode(mels).latent_dist.mean.std())
