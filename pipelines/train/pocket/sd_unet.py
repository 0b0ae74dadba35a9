"""Trains the UNet of the pocket Stable Diffusion: a denoiser of latents that attends to captions.

Its size, with that of an adapter of three levels, keeps all below 6.5 MB in fp16.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch

from pipelines.encode.loaders.pocket import WEIGHTS
from pipelines.errors import ConfigError
from pipelines.store.models import hash_files
from pipelines.train.distributed import WorkerGroup
from pipelines.train.latents import encode_pictures
from pipelines.train.noise import NoiseSchedule
from pipelines.train.pocket.picture_data import CAPTIONS, PICTURE_PX, DrawnPicturesTask
from pipelines.train.pocket.picture_vae import CONFIG as VAE
from pipelines.train.pocket.text_tower import convert_text_tower, encode_words, load_tokenizer
from pipelines.train.task import StepDraw, StepLoss, TaskContext

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

CONFIG: dict[str, Any] = {
    "sample_size": PICTURE_PX // 2 ** (len(VAE["block_out_channels"]) - 1),
    "in_channels": VAE["latent_channels"],
    "out_channels": VAE["latent_channels"],
    "block_out_channels": [32, 64, 80],
    "layers_per_block": 1,
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
    "cross_attention_dim": 96,
    # Of diffusers' UNets with words this is the number of heads, whatever its name says.
    "attention_head_dim": 4,
    "norm_num_groups": 16,
}
# Stable Diffusion's noise. With v-prediction few sampling steps suffice; "trailing" spacing starts them at
# pure noise.
SCHEDULER: dict[str, Any] = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "clip_sample": False,
    "set_alpha_to_one": False,
    "steps_offset": 1,
    "prediction_type": "v_prediction",
    "timestep_spacing": "trailing",
}
_WITHOUT_WORDS = 0.1  # share of pictures without a caption, for classifier-free guidance


@dataclass
class PocketSdUnet(DrawnPicturesTask):
    """The task: latents without their noise.

    Attributes:
        vae: the folder of the VAE whose latents are denoised; they are cached.
        clip: the folder of pocket CLIP; the package's own if empty.
    """

    vae: str = ""
    clip: str = ""

    def open(self, context: TaskContext) -> Self:
        """Encode the pictures.

        Raises:
            ConfigError: there is no VAE, or there are too few pictures.
        """
        import diffusers

        if not (Path(self.vae) / "config.json").is_file():
            raise ConfigError(f"vae is {self.vae!r}, which holds no VAE; give the folder of one")
        super().open(context)
        clip = Path(self.clip) if self.clip else WEIGHTS / "clip"
        self._text, self._tokenizer = convert_text_tower(clip).to(context.device), load_tokenizer(clip)
        ddim: Any = diffusers.DDIMScheduler
        self._noise = NoiseSchedule(ddim(**SCHEDULER))
        self._latents = torch.from_numpy(self._read_latents(context))
        return self

    def describe(self) -> dict[str, Any]:
        """Return the settings without the place of the VAE."""
        return super().describe() | {"vae": hash_files(Path(self.vae)) if self.vae else None}

    def build(self, seed: int) -> nn.Module:  # noqa: ARG002 - the trainer has set it
        """Return a random UNet."""
        import diffusers

        unet: Any = diffusers.UNet2DConditionModel
        net: nn.Module = unet(**CONFIG)
        return net

    def make_batch(self, step: int, group: WorkerGroup) -> dict[str, Tensor]:
        """Return noisy latents, their times, targets and weights, and the token states of captions."""
        indices, rng = self.draw_pictures(step)
        own = group.slice_batch(len(indices))
        variants = rng.integers(CAPTIONS, size=len(indices))
        is_dropped = rng.random(len(indices)) < _WITHOUT_WORDS
        texts = [
            "" if dropped else self.pictures.make_caption(int(index), int(variant))
            for index, variant, dropped in zip(indices[own], variants[own], is_dropped[own], strict=True)
        ]
        clean = self._latents[torch.from_numpy(indices)].float()
        noisy = self._noise.draw(clean, torch.Generator().manual_seed(step))
        tensors = {
            "noisy": noisy.noisy,
            "times": noisy.times_N,
            "target": noisy.target,
            "weights": noisy.weights_N,
        }
        device = self.context.device
        words = encode_words(self._text, self._tokenizer, texts)
        return {name: each[own].to(device) for name, each in tensors.items()} | {"words": words.clone()}

    def compute_loss(
        self, net: nn.Module, batch: Mapping[str, Tensor], draw: StepDraw, group: WorkerGroup
    ) -> StepLoss:
        """Return the weighted error of the predictions."""
        with draw.use_autocast():
            predicted = net(batch["noisy"], batch["times"], encoder_hidden_states=batch["words"]).sample
        errors_N: Tensor = (predicted.float() - batch["target"]).square().flatten(1).mean(1)
        return StepLoss((batch["weights"] * errors_N).mean() / group.size)

    def save(self, net: nn.Module, folder: Path) -> None:
        """Write a folder that diffusers loads."""
        unet: Any = net
        unet.save_pretrained(folder)

    def _read_latents(self, context: TaskContext) -> np.ndarray:
        import diffusers

        sha256 = hash_files(Path(self.vae))["diffusion_pytorch_model.safetensors"]
        file = context.folder / f"picture-latents-{context.recipe.seed}-{self.draws}-{sha256[:12]}.npy"
        if not file.exists():
            autoencoder: Any = diffusers.AutoencoderKL
            vae = autoencoder.from_pretrained(self.vae, local_files_only=True, low_cpu_mem_usage=False)
            latents = encode_pictures(
                vae.to(context.device).eval(), self.pictures.read_pixels(np.arange(self.draws))
            )
            scratch = file.with_suffix(".part.npy")
            np.save(scratch, latents)
            scratch.replace(file)
        found: np.ndarray = np.load(file)
        return found


TASKS = {"pocket_sd_unet": PocketSdUnet}
