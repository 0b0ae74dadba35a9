"""Trains the VAE of the pocket AudioLDM: spectrograms to latents with a quarter of the numbers, and back."""

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
# Small, to refine the initial principal components of patches instead of destroying them.
RATE = 2e-4
# Downsamples 8 times in both directions: the UNet, which runs at every step of the diffusion, has a quarter
# of the work of AudioLDM's larger latents.
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
# Of a crop, 1.28 s: more steps help more than longer crops.
_FRAMES = 64
_INIT_SOUNDS = 100  # whose principal components are the initial weights
# Weight of the KL divergence per latent dimension: enough to keep latents smooth.
_KL_WEIGHT = 1e-3


def train_vae(sounds: SoundSampler, recipe: Recipe) -> Any:
    """Return the trained VAE; its `scaling_factor` gives latents a standard deviation of 1.

    Args:
        sounds: to train on.
        recipe: of the training.
    """
    import diffusers
    import torch

    torch.manual_seed(recipe.seed)
    autoencoder: Any = diffusers.AutoencoderKL
    net = autoencoder(**CONFIG)
    tune(net, compute_mels(sounds, range(min(_INIT_SOUNDS, len(sounds)))))
    trainer = Trainer("vae", net.to(choose_device()), RATE, recipe)

    def compute_loss(step: int) -> Tensor:
        rng = np.random.default_rng([recipe.seed, step])
        indices = rng.choice(len(sounds), recipe.sizes.vae_batch, replace=False)
        first = int(rng.integers(FRAMES - _FRAMES + 1)) * HOP
        mels = compute_mels(sounds, indices, first, _FRAMES * HOP)[:, None].to(choose_device())
        noise = torch.Generator(choose_device()).manual_seed(step)
        with set_fast_math():
            posterior = trainer.net.encode(mels).latent_dist
            output = trainer.net.decode(posterior.sample(noise)).sample
        # Weighted by loudness: loud bins are the event, soft ones the background.
        error: Tensor = ((output.float() - mels).abs() * (1 + mels.clamp(min=0))).mean()
        divergence: Tensor = posterior.kl().mean() / posterior.mean[0].numel()
        return error + _KL_WEIGHT * divergence

    trainer.train(compute_loss)
    vae = trainer.get_averaged_net()
    vae.register_to_config(scaling_factor=1 / _measure_spread(vae, sounds))
    return vae


def compute_mels(sounds: SoundSampler, indices: Any, first: int = 0, samples: int = SAMPLES) -> Tensor:
    """Return the spectrograms of sounds, or of `samples` of each from sample `first` on, `[N, F, M]`."""
    import torch

    return compute_log_mels(
        torch.from_numpy(np.stack([sounds.read_wave(int(i), first, samples) for i in indices]))
    )


def _measure_spread(vae: Any, sounds: SoundSampler) -> float:
    """Return the standard deviation of the latents of 64 sounds."""
    import torch

    with torch.no_grad():
        mels = compute_mels(sounds, range(min(64, len(sounds))))[:, None].to(choose_device())
        return float(vae.encode(mels).latent_dist.mean.std())
