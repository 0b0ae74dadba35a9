"""Trains the UNet of the pocket AudioLDM: a denoiser of latents, conditioned on a vector of pocket CLAP."""

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
# AudioLDM's noise schedule. With v-prediction few sampling steps suffice; "trailing" spacing starts them at
# pure noise.
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
# Min-SNR loss weights, clamped here: nearly clean and nearly pure-noise steps teach less than those between
# (Hang et al. 2023, arXiv 2303.09556).
_SNR = 5.0
_UNCONDITIONAL = 0.1  # share of samples conditioned on "", for classifier-free guidance
_CAPTIONED = 0.5  # share of samples conditioned on a caption's vector instead of the sound's
# Translated vectors are inexact, so half of the conditions get noise of a norm up to this.
_MAX_NOISE = 0.7


def train_unet(sounds: SoundSampler, vae: Any, recipe: Recipe) -> Any:
    """Return the trained UNet.

    Args:
        sounds: to train on, with their vectors.
        vae: trained; its latents are what the UNet denoises.
        recipe: of the training; the latents are cached beside the checkpoints.
    """
    import diffusers
    import torch

    torch.manual_seed(recipe.seed)
    unet: Any = diffusers.UNet2DConditionModel
    net = unet(**CONFIG)
    # The layer expects inputs of standard deviation 1; the coordinates of a unit vector have 0.04.
    torch.nn.init.normal_(net.class_embedding.weight)
    trainer = Trainer("unet", net.to(choose_device()), RATE, recipe)
    batch = recipe.sizes.unet_batch
    clean_N = torch.from_numpy(encode_latents(sounds, vae, recipe.folder / "latents.npy", batch))
    ddim: Any = diffusers.DDIMScheduler
    scheduler = ddim(**SCHEDULER)
    alphas: Tensor = scheduler.alphas_cumprod
    weights = (alphas / (1 - alphas)).clamp(max=_SNR) / (alphas / (1 - alphas) + 1)

    def compute_loss(step: int) -> Tensor:
        rng = np.random.default_rng([recipe.seed, step])
        indices = rng.choice(len(sounds), batch, replace=False)
        generator = torch.Generator().manual_seed(step)
        times_N = torch.randint(0, len(alphas), (batch,), generator=generator)
        clean = clean_N[torch.from_numpy(indices)].float()
        noise = torch.randn(clean.shape, generator=generator)
        noisy = scheduler.add_noise(clean, noise, times_N)
        velocity = scheduler.get_velocity(clean, noise, times_N).to(choose_device())
        condition_ND = torch.from_numpy(draw_conditions(sounds, indices, rng)).to(choose_device())
        with set_fast_math():
            predicted = trainer.net(
                noisy.to(choose_device()),
                times_N.to(choose_device()),
                encoder_hidden_states=None,
                class_labels=condition_ND,
            ).sample
        errors_N: Tensor = (predicted.float() - velocity).square().flatten(1).mean(1)
        return (weights[times_N].to(choose_device()) * errors_N).mean()

    trainer.train(compute_loss)
    return trainer.get_averaged_net()


def draw_conditions(
    sounds: SoundSampler, indices: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Draw the conditions of a batch, unit vectors `[N, D]`: of captions, of sounds, or unconditional.

    Args:
        sounds: with their vectors.
        indices: of the batch.
        rng: the random stream of the step.
    """
    count = len(indices)
    caption_ND = sounds.text_NCD[indices, rng.integers(sounds.text_NCD.shape[1], size=count)]
    condition_ND = np.where(rng.random((count, 1)) < _CAPTIONED, caption_ND, sounds.audio_ND[indices])
    noise_ND = rng.standard_normal(condition_ND.shape) / np.sqrt(condition_ND.shape[1])
    condition_ND = condition_ND + np.maximum(0, rng.uniform(-_MAX_NOISE, _MAX_NOISE, (count, 1))) * noise_ND
    condition_ND /= np.linalg.norm(condition_ND, axis=1, keepdims=True)
    unconditional = rng.random((count, 1)) < _UNCONDITIONAL
    return np.asarray(np.where(unconditional, sounds.unconditional_D, condition_ND), np.float32)


def encode_latents(sounds: SoundSampler, vae: Any, file: Path, batch: int) -> NDArray[np.float16]:
    """Return the scaled latents of all sounds, `[N, C, F / 8, M / 8]`, cached in a file.

    Args:
        sounds: to encode.
        vae: trained.
        file: read if it is there, else written.
        batch: sounds that are encoded at once.
    """
    import torch

    if file.exists():
        cached: NDArray[np.float16] = np.load(file)
        return cached
    latents = []
    with torch.no_grad():
        for first in range(0, len(sounds), batch):
            mels = compute_mels(sounds, range(first, min(first + batch, len(sounds))))
            mean = vae.encode(mels[:, None].to(choose_device())).latent_dist.mean
            latents.append((vae.config.scaling_factor * mean).cpu().half().numpy())
    scratch = file.with_suffix(".tmp.npy")
    np.save(scratch, np.concatenate(latents))
    scratch.replace(file)
    return np.concatenate(latents)
