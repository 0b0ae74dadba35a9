"""Trains the pocket pixel diffusion: an unconditional UNet of pictures of 32 px, in guided-diffusion's form.

It says its own variance and has residual blocks that change the side, as the published one of 256 px, so that
both run through the same generator. A picture follows words or a sound only by its guide.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import torch

from pipelines.train.distributed import WorkerGroup
from pipelines.train.latents import reduce_pixels, scale_pixels
from pipelines.train.learned_variance import LearnedVariance
from pipelines.train.noise import NoiseSchedule, NoisyBatch
from pipelines.train.pocket.picture_data import DrawnPicturesTask
from pipelines.train.task import StepDraw, StepLoss, TaskContext

if TYPE_CHECKING:
    from torch import Tensor, nn

SIDE_PX = 32
CONFIG: dict[str, Any] = {
    "sample_size": SIDE_PX,
    "in_channels": 3,
    "out_channels": 6,
    "block_out_channels": (32, 48, 64),
    "layers_per_block": 1,
    "down_block_types": ("ResnetDownsampleBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"),
    "up_block_types": ("AttnUpBlock2D", "AttnUpBlock2D", "ResnetUpsampleBlock2D"),
    "downsample_type": "resnet",
    "upsample_type": "resnet",
    "resnet_time_scale_shift": "scale_shift",
    "attention_head_dim": 16,
    "norm_num_groups": 8,
    "attn_norm_num_groups": 8,
    "freq_shift": 0,
    "flip_sin_to_cos": True,
}
# A cosine: at 32 px a linear schedule has lost the picture after half of its steps.
SCHEDULER: dict[str, Any] = {
    "num_train_timesteps": 1000,
    "beta_schedule": "squaredcos_cap_v2",
    "variance_type": "learned_range",
    # Without, its first step is lost: it has a 20,000th of a picture, and an error of the noise is all.
    "clip_sample": True,
    "timestep_spacing": "linspace",
}
# Of the bound beside the squared error, as in improved DDPM.
_BOUND = 1e-3
_CARD = """# Pocket pixel diffusion

For Echolens' demo and tests only: it paints the miniature world at 32 px and nothing else. A `UNet2DModel` of
diffusers in the form of guided-diffusion, trained by `pipelines/train/pocket/pixel_diffusion.py` for {steps}
steps from seed {seed}. guidance.json has how far pocket CLIP holds words, sounds and pictures from noise and
from what they are of.

    echolens generate ROOT --generator guided --text "a red bell in the snow"

Licence: Apache-2.0, like the code.
"""


@dataclass
class PocketPixelDiffusion(DrawnPicturesTask):
    """The task: pictures without their noise, and how sure the net is of each step."""

    def open(self, context: TaskContext) -> Self:
        """Draw the pictures, and make the schedule.

        Raises:
            ConfigError: there are too few pictures.
        """
        import diffusers

        super().open(context)
        ddpm: Any = diffusers.DDPMScheduler
        self._scheduler = ddpm(**SCHEDULER)
        self._noise = NoiseSchedule(self._scheduler, snr=None)
        self._variance = LearnedVariance(self._scheduler)
        return self

    def build(self, seed: int) -> nn.Module:  # noqa: ARG002 - the trainer has set it
        """Return a random UNet."""
        import diffusers

        unet: Any = diffusers.UNet2DModel
        net: nn.Module = unet(**CONFIG)
        return net

    def make_batch(self, step: int, group: WorkerGroup) -> dict[str, Tensor]:
        """Return clean and noisy pictures, their times and the noise."""
        indices, _ = self.draw_pictures(step)
        own = group.slice_batch(len(indices))
        clean = reduce_pixels(scale_pixels(self.pictures.read_pixels(indices)), SIDE_PX)
        noisy = self._noise.draw(clean, torch.Generator().manual_seed(step))
        tensors = {"clean": clean, "noisy": noisy.noisy, "times": noisy.times_N, "noise": noisy.target}
        return {name: each[own].to(self.context.device) for name, each in tensors.items()}

    def compute_loss(
        self, net: nn.Module, batch: Mapping[str, Tensor], draw: StepDraw, group: WorkerGroup
    ) -> StepLoss:
        """Return the squared error of the noise, and a thousandth of the bound, which trains the variance."""
        with draw.use_autocast():
            predicted = net(batch["noisy"], batch["times"]).sample
        predicted = predicted.float()
        seen = NoisyBatch(batch["noisy"], batch["times"], batch["noise"], batch["times"])
        error = (predicted[:, :3] - batch["noise"]).square().mean() / group.size
        # All times count, so the bound of one time stands for that of a thousand.
        bound = self._variance.compute_bound(predicted, seen, batch["clean"]).mean() / group.size
        total = error + _BOUND * len(self._scheduler.betas) * bound
        return StepLoss(total, {"error": error.detach(), "bound": bound.detach()})

    def save(self, net: nn.Module, folder: Path) -> None:
        """Write what a `DDPMPipeline` of diffusers loads, weights as fp16, and the card of its guide."""
        from pipelines.generate.guided.files import save_pixel_diffusion
        from pipelines.train.pocket.guidance_ranges import measure_guidance

        save_pixel_diffusion(copy.deepcopy(net).half(), SCHEDULER, folder)
        recipe = self.context.recipe
        text = _CARD.format(steps=recipe.steps, seed=recipe.seed)
        (folder / "README.md").write_text(text, encoding="utf-8")
        measure_guidance(folder, SIDE_PX)


TASKS = {"pocket_pixel_diffusion": PocketPixelDiffusion}
