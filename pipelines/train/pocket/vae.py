"""Trains the VAE of the pocket AudioLDM: spectrograms to latents with a quarter of the numbers, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.compute.device import choose_device
from pipelines.train.distributed import WorkerGroup
from pipelines.train.pocket.audioldm_data import FRAMES, HOP, SAMPLES, SoundSampler, compute_log_mels
from pipelines.train.pocket.sound_task import SoundTask
from pipelines.train.pocket.vae_init import tune
from pipelines.train.task import StepDraw, StepLoss

if TYPE_CHECKING:
    from torch import Tensor, nn

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
_SMALLER = 2 ** (len(CONFIG["block_out_channels"]) - 1)
_INIT_SOUNDS = 100  # whose principal components are the initial weights
# Weight of the KL divergence per latent dimension: enough to keep latents smooth.
_KL_WEIGHT = 1e-3


@dataclass
class PocketVae(SoundTask):
    """The task: spectrograms of crops through latents and back."""

    def build(self, seed: int) -> nn.Module:  # noqa: ARG002 - the trainer has set it
        """Return a VAE whose first weights are the principal components of patches."""
        import diffusers

        autoencoder: Any = diffusers.AutoencoderKL
        net: nn.Module = autoencoder(**CONFIG)
        tune(net, compute_mels(self.sounds, range(min(_INIT_SOUNDS, len(self.sounds)))))
        return net

    def make_batch(self, step: int, group: WorkerGroup) -> dict[str, Tensor]:
        """Return spectrograms `[n, 1, F, M]`, and the noise of their latents."""
        import torch

        device = self.context.device
        indices, rng = self.draw_sounds(step)
        rows = group.slice_batch(len(indices))
        first = int(rng.integers(FRAMES - _FRAMES + 1)) * HOP
        mels = compute_mels(self.sounds, indices[rows], first, _FRAMES * HOP)[:, None].to(device)
        shape = (
            len(indices),
            CONFIG["latent_channels"],
            mels.shape[2] // _SMALLER,
            mels.shape[3] // _SMALLER,
        )
        noise = torch.randn(shape, generator=torch.Generator(device).manual_seed(step), device=device)
        return {"mels": mels, "noise": noise[rows]}

    def compute_loss(
        self, net: nn.Module, batch: Mapping[str, Tensor], draw: StepDraw, group: WorkerGroup
    ) -> StepLoss:
        """Return the error of the spectrograms plus the KL divergence of the latents."""
        vae: Any = net
        mels = batch["mels"]
        with draw.use_autocast():
            posterior = vae.encode(mels).latent_dist
            output = vae.decode(
                posterior.mean + posterior.std * batch["noise"].to(posterior.mean.dtype)
            ).sample
        # Weighted by loudness: loud bins are the event, soft ones the background.
        error: Tensor = ((output.float() - mels).abs() * (1 + mels.clamp(min=0))).mean()
        divergence: Tensor = posterior.kl().mean() / posterior.mean[0].numel()
        return StepLoss((error + _KL_WEIGHT * divergence) / group.size)

    def save(self, net: nn.Module, folder: Path) -> None:
        """Write a folder that diffusers loads; its `scaling_factor` gives latents a deviation of 1."""
        vae: Any = net
        vae.register_to_config(scaling_factor=1 / _measure_spread(vae, self.sounds))
        vae.save_pretrained(folder)


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


TASKS = {"pocket_vae": PocketVae}
