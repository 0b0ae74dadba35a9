"""Trains the UNet of the pocket AudioLDM: from noisy latents to clean ones, told a vector of pocket CLAP."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipelines.compute.device import choose_device
from pipelines.train.pocket.audioldm_data import FRAMES, SoundSampler
from pipelines.train.pocket.vae import CONFIG as VAE
from pipelines.train.pocket.vae import compute_mels
from pipelines.train.trainer import Recipe, Trainer, set_fast_math

if TYPE_CHECKING:
    from torch import Tensor

STEPS = 4_000
RATE = 1e-3
_SMALLER = 2 ** (len(VAE["block_out_channels"]) - 1)
DIMS = 512
CONFIG: dict[str, Any] = {
    "sample_size": FRAMES // _SMALLER,
    "in_channels": VAE["latent_channels"],
    "out_channels": VAE["latent_channels"],
    "block_out_channels": [64, 112],
    "layers_per_block": 1,
    "down_block_types": ["DownBlock2D", "AttnDownBlock2D"],
    "mid_block_type": "UNetMidBlock2D",
    "up_block_types": ["AttnUpBlock2D", "UpBlock2D"],
    "norm_num_groups": 16,
    "attention_head_dim": 28,
    "class_embed_type": "simple_projection",
    "projection_class_embeddings_input_dim": DIMS,
    "class_embeddings_concat": True,
}
# AudioLDM's noise. With velocities for targets few steps of sampling go far, and "trailing" begins them
# where the noise is whole.
SCHEDULER: dict[str, Any] = {
    "num_train_timesteps": 1000,
    "beta_start": 0.0015,
    "beta_end": 0.0195,
    "beta_schedule": "scaled_linear",
    "clip_sample": False,
    "set_alpha_to_one": False,
    "prediction_type": "v_prediction",
    "timestep_spacing": "trailing",
}
# Steps that are all noise or none at all teach less than those between: min-SNR, Hang et al. 2023,
# arXiv 2303.09556.
_SNR = 5.0
_WISHLESS = 0.1  # share of samples that are given "" for their wish, for the guidance
_TOLD = 0.5  # share of samples that are given the vector of a caption, not of the sound
# A translator's vectors miss: up to half the samples' vectors are moved as far as this, at most.
_ASTRAY = 0.7


def train_unet(sounds: SoundSampler, vae: Any, recipe: Recipe) -> Any:
    """Return the trained UNet.

    Args:
        sounds: to learn from, with their vectors.
        vae: trained; its latents are what the UNet learns.
        recipe: of the training; the latents are kept beside the checkpoints.
    """
    import diffusers
    import torch

    torch.manual_seed(recipe.seed)
    made: Any = diffusers.UNet2DConditionModel
    net = made(**CONFIG)
    # Its entry expects numbers of spread 1; those of a unit vector have 0.04.
    torch.nn.init.normal_(net.class_embedding.weight)
    part = Trainer("unet", net.to(choose_device()), RATE, recipe)
    batch = recipe.sizes.unet_batch
    clean_N = torch.from_numpy(encode_latents(sounds, vae, recipe.folder / "latents.npy", batch))
    steps: Any = diffusers.DDIMScheduler
    scheduler = steps(**SCHEDULER)
    kept: Tensor = scheduler.alphas_cumprod
    weights = (kept / (1 - kept)).clamp(max=_SNR) / (kept / (1 - kept) + 1)

    def lesson(step: int) -> Tensor:
        rng = np.random.default_rng([recipe.seed, step])
        indices = rng.choice(len(sounds), batch, replace=False)
        noise = torch.Generator().manual_seed(step)
        times_N = torch.randint(0, len(kept), (batch,), generator=noise)
        clean = clean_N[torch.from_numpy(indices)].float()
        dirt = torch.randn(clean.shape, generator=noise)
        noisy = scheduler.add_noise(clean, dirt, times_N)
        velocity = scheduler.get_velocity(clean, dirt, times_N).to(choose_device())
        wish_ND = torch.from_numpy(draw_conditions(sounds, indices, rng)).to(choose_device())
        with set_fast_math():
            found = part.net(
                noisy.to(choose_device()),
                times_N.to(choose_device()),
                encoder_hidden_states=None,
                class_labels=wish_ND,
            ).sample
        missed_N: Tensor = (found.float() - velocity).square().flatten(1).mean(1)
        return (weights[times_N].to(choose_device()) * missed_N).mean()

    part.train(lesson)
    return part.get_averaged_net()


def draw_conditions(
    sounds: SoundSampler, indices: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return what the UNet is told about sounds, unit vectors `[N, D]`."""
    count = len(indices)
    spoken_ND = sounds.text_NCD[indices, rng.integers(sounds.text_NCD.shape[1], size=count)]
    told_ND = np.where(rng.random((count, 1)) < _TOLD, spoken_ND, sounds.audio_ND[indices])
    aside_ND = rng.standard_normal(told_ND.shape) / np.sqrt(told_ND.shape[1])
    told_ND = told_ND + np.maximum(0, rng.uniform(-_ASTRAY, _ASTRAY, (count, 1))) * aside_ND
    told_ND /= np.linalg.norm(told_ND, axis=1, keepdims=True)
    wishless = rng.random((count, 1)) < _WISHLESS
    return np.asarray(np.where(wishless, sounds.silent_D, told_ND), np.float32)


def encode_latents(sounds: SoundSampler, vae: Any, file: Path, batch: int) -> NDArray[np.float16]:
    """Return the scaled latents of all sounds, `[N, C, F / 8, M / 8]`; kept in a file.

    Args:
        sounds: to encode.
        vae: trained.
        file: read if it is there, else written.
        batch: sounds that are encoded at once.
    """
    import torch

    if file.exists():
        kept: NDArray[np.float16] = np.load(file)
        return kept
    made = []
    with torch.no_grad():
        for first in range(0, len(sounds), batch):
            mels = compute_mels(sounds, range(first, min(first + batch, len(sounds))))
            found = vae.encode(mels[:, None].to(choose_device())).latent_dist.mean
            made.append((vae.config.scaling_factor * found).cpu().half().numpy())
    scratch = file.with_suffix(".tmp.npy")
    np.save(scratch, np.concatenate(made))
    scratch.replace(file)
    return np.concatenate(made)
