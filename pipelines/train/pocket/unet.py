"""Trains the UNet of the pocket AudioLDM: a denoiser of latents, conditioned on a vector of pocket CLAP."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from pipelines.compute.device import choose_device
from pipelines.errors import ConfigError
from pipelines.store.models import hash_files
from pipelines.train.distributed import WorkerGroup
from pipelines.train.pocket.audioldm_data import FRAMES, SoundSampler
from pipelines.train.pocket.sound_task import SoundTask
from pipelines.train.pocket.vae import CONFIG as VAE
from pipelines.train.pocket.vae import compute_mels
from pipelines.train.task import StepDraw, StepLoss, TaskContext

if TYPE_CHECKING:
    from torch import Tensor, nn

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


@dataclass
class PocketUnet(SoundTask):
    """The task: latents without their noise.

    Attributes:
        vae: the folder of the VAE whose latents are denoised; they are cached.
    """

    vae: str = ""

    def open(self, context: TaskContext) -> Self:
        """Encode the sounds.

        Raises:
            ConfigError: there is no VAE.
        """
        import diffusers
        import torch

        if not (Path(self.vae) / "config.json").is_file():
            raise ConfigError(f"vae is {self.vae!r}, which holds no VAE; give the folder of one")
        super().open(context)
        autoencoder: Any = diffusers.AutoencoderKL
        vae = autoencoder.from_pretrained(self.vae, local_files_only=True, low_cpu_mem_usage=False)
        vae = vae.to(context.device).eval()
        sha256 = hash_files(Path(self.vae))["diffusion_pytorch_model.safetensors"]
        file = context.folder / f"latents-{sha256[:12]}.npy"
        self._latents = torch.from_numpy(encode_latents(self.sounds, vae, file, context.recipe.batch))
        ddim: Any = diffusers.DDIMScheduler
        self._scheduler = ddim(**SCHEDULER)
        alphas: Tensor = self._scheduler.alphas_cumprod
        self._weights = (alphas / (1 - alphas)).clamp(max=_SNR) / (alphas / (1 - alphas) + 1)
        return self

    def describe(self) -> dict[str, Any]:
        """Return the settings without the place of the VAE."""
        return super().describe() | {"vae": hash_files(Path(self.vae)) if self.vae else None}

    def build(self, seed: int) -> nn.Module:  # noqa: ARG002 - the trainer has set it
        """Return a random UNet."""
        import diffusers
        import torch

        unet: Any = diffusers.UNet2DConditionModel
        net = unet(**CONFIG)
        # The layer expects inputs of standard deviation 1; the coordinates of a unit vector have 0.04.
        torch.nn.init.normal_(net.class_embedding.weight)
        built: nn.Module = net
        return built

    def make_batch(self, step: int, group: WorkerGroup) -> dict[str, Tensor]:
        """Return noisy latents, their times and velocities, conditions, and weights of the errors."""
        import torch

        indices, rng = self.draw_sounds(step)
        generator = torch.Generator().manual_seed(step)
        times_N = torch.randint(0, len(self._weights), (len(indices),), generator=generator)
        clean = self._latents[torch.from_numpy(indices)].float()
        noise = torch.randn(clean.shape, generator=generator)
        tensors = {
            "noisy": self._scheduler.add_noise(clean, noise, times_N),
            "velocity": self._scheduler.get_velocity(clean, noise, times_N),
            "times": times_N,
            "conditions": torch.from_numpy(draw_conditions(self.sounds, indices, rng)),
            "weights": self._weights[times_N],
        }
        rows = group.slice_batch(len(indices))
        return {name: tensor[rows].to(self.context.device) for name, tensor in tensors.items()}

    def compute_loss(
        self, net: nn.Module, batch: Mapping[str, Tensor], draw: StepDraw, group: WorkerGroup
    ) -> StepLoss:
        """Return the weighted error of the velocities."""
        with draw.use_autocast():
            predicted = net(
                batch["noisy"],
                batch["times"],
                encoder_hidden_states=None,
                class_labels=batch["conditions"],
            ).sample
        errors_N: Tensor = (predicted.float() - batch["velocity"]).square().flatten(1).mean(1)
        return StepLoss((batch["weights"] * errors_N).mean() / group.size)

    def save(self, net: nn.Module, folder: Path) -> None:
        """Write a folder that diffusers loads."""
        unet: Any = net
        unet.save_pretrained(folder)


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


TASKS = {"pocket_unet": PocketUnet}
