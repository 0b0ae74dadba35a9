"""The task of a joint VAE of sounds and small pictures, whatever its pairs come from.

Shapes: n pairs of a worker, S sounds, F pictures of each, V numbers of a sound's vector, H x W pixels.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch

from pipelines.errors import ConfigError
from pipelines.models.joint_vae import JointVae, save_joint_vae
from pipelines.models.spectrogram_vae import Posterior
from pipelines.train.adapter.data import SoundPictures
from pipelines.train.distributed import WorkerGroup
from pipelines.train.latents import scale_pixels
from pipelines.train.task import Scores, StepDraw, StepLoss, Task, TaskContext
from pipelines.train.vae_losses import compute_kl, compute_negative_log_likelihood, keep_free_bits, warm_up
from schemas.joint_vae import JointVaeCard, JointVaeNet

if TYPE_CHECKING:
    from torch import Tensor, nn

# Pairs whose ELBO is measured.
_SCORED = 256


@dataclass
class JointVaeTask(Task):
    """What the tasks of all sources share.

    Attributes:
        net: its layers.
        by_class: share of pairs that are a sound and a picture of two sources of one class.
        alone: weight of what each medium's own encoder is taught.
        warmup_share: of the steps, over which the weight of the KL rises from 0.
        free_nats: of a dimension, which cost nothing.
        half: whether the weights are stored as fp16.
    """

    net: JointVaeNet = field(default_factory=JointVaeNet)
    by_class: float = 0.25
    alone: float = 1.0
    warmup_share: float = 0.2
    free_nats: float = 0.05
    half: bool = False
    _pairs: Any = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        """Take keys of a preset's file as settings."""
        self.net = JointVaeNet.model_validate(self.net)
        if not 0 <= self.by_class <= 1:
            raise ConfigError(f"by_class is {self.by_class}; it must be a share between 0 and 1")

    @abstractmethod
    def read_pairs(self, context: TaskContext) -> tuple[SoundPictures, np.ndarray]:
        """Return sounds with their pictures, and the class of each sound, int64 [S]; -1 of one without."""

    def open(self, context: TaskContext) -> Self:
        """Read the pairs; all pictures stay in memory.

        Raises:
            ConfigError: there are too few.
        """
        data, classes_S = self.read_pairs(context)
        if len(data.train_S) < context.recipe.batch or len(data.held_S) < 2:
            raise ConfigError(
                f"{len(data.train_S)} sounds with pictures to train on and {len(data.held_S)} to validate on "
                f"are too few for batches of {context.recipe.batch}; build more clips, or take a smaller "
                "recipe.batch"
            )
        self._pixels = np.stack(list(data.iterate_pixels(self.net.side_px)))
        self._pairs, self._classes_S = data, classes_S
        self.card = JointVaeCard(net=self.net, sound_dims=data.sounds_SD.shape[1], space=data.space.identity)
        train_S = data.train_S
        self._alike = {
            int(each): train_S[classes_S[train_S] == each]
            for each in np.unique(classes_S[train_S])
            if each >= 0
        }
        return super().open(context)

    def build(self, seed: int) -> nn.Module:  # noqa: ARG002 - the trainer has set it
        """Return the net with random weights."""
        return JointVae(self.net, self.card.sound_dims)

    def make_batch(self, step: int, group: WorkerGroup) -> dict[str, Tensor]:
        """Return unit vectors `[n, V]`, pictures `[n, 3, H, W]`, and the noise of their latents."""
        recipe, train_S = self.context.recipe, self._pairs.train_S
        rng = np.random.default_rng([recipe.seed, step])
        sounds = rng.choice(train_S, recipe.batch)
        others, swaps = rng.random(recipe.batch), rng.random(recipe.batch) < self.by_class
        pictures = sounds.copy()
        for place in np.flatnonzero(swaps).tolist():
            alike = self._alike.get(int(self._classes_S[sounds[place]]))
            if alike is not None:
                pictures[place] = alike[int(others[place] * len(alike))]
        frames = rng.integers(self._pixels.shape[1], size=recipe.batch)
        flips = rng.random(recipe.batch) < 0.5
        noise = rng.standard_normal((recipe.batch, self.net.latent), np.float32)
        own = group.slice_batch(recipe.batch)
        pixels = scale_pixels(self._pixels[pictures[own], frames[own]])
        # Mirrored pictures are of the same sound, too.
        pixels = torch.where(torch.from_numpy(flips[own])[:, None, None, None], pixels.flip(3), pixels)
        units_nV = torch.from_numpy(self._pairs.sounds_SD[sounds[own]].astype(np.float32))
        device = self.context.device
        return {
            "units": units_nV.to(device),
            "pixels": pixels.to(device),
            "noise": torch.from_numpy(noise[own]).to(device),
        }

    def compute_loss(
        self, net: nn.Module, batch: Mapping[str, Tensor], draw: StepDraw, group: WorkerGroup
    ) -> StepLoss:
        """Return the negative ELBO of pairs and what each encoder alone lacks of both, a pixel."""
        assert isinstance(net, JointVae)
        with draw.use_autocast():
            both, sound, picture = net.encode(batch["units"], batch["pixels"])
            latents = both.sample(batch["noise"])
            pixels, units = net.decode_picture(latents).float(), net.decode_sound(latents).float()
        error = _measure_errors(net, pixels, units, batch).mean()
        counted = keep_free_bits(compute_kl(both), self.free_nats)
        kept = Posterior(both.mean.detach(), both.log_variance.detach())
        alone = (compute_kl(kept, sound) + compute_kl(kept, picture)).sum(1).mean()
        recipe = self.context.recipe
        steps = recipe.steps or (recipe.epochs or 0) * (self.count_steps() or 0)
        weight = warm_up(draw.step, round(self.warmup_share * steps))
        loss = (error + weight * counted + self.alone * alone) / batch["pixels"][0].numel()
        parts = {"reconstruction": error.detach(), "kl": compute_kl(both).detach().sum(1).mean()}
        return StepLoss(loss / group.size, {name: part / group.size for name, part in parts.items()})

    def validate(self, net: nn.Module) -> Mapping[str, Scores]:
        """Return minus the squared error of pictures of held-out sounds, and of pictures of themselves."""
        assert isinstance(net, JointVae)
        held = self._pairs.held_S[:_SCORED]
        pixels = scale_pixels(self._pixels[held, 0]).to(self.context.device)
        units_nV = torch.from_numpy(self._pairs.sounds_SD[held].astype(np.float32)).to(self.context.device)
        with torch.inference_mode():
            both, sound, _ = net.encode(units_nV, pixels)
            found = {
                "elbo_nats": _measure_elbo(net, both, {"units": units_nV, "pixels": pixels}),
                "minus_error": -float((net.decode_picture(both.mean) - pixels).square().mean()),
                "minus_error_of_sound": -float((net.decode_picture(sound.mean) - pixels).square().mean()),
                "active_units": float((both.mean.var(0) > 0.01).sum()),
            }
        return {"": found}

    def save(self, net: nn.Module, folder: Path) -> None:
        """Write the net and its card."""
        assert isinstance(net, JointVae)
        save_joint_vae(net, self.card, folder, half=self.half)


def _measure_errors(net: JointVae, pixels: Tensor, units: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
    """Return -ln p of both media given the latents, in nats `[n]`."""
    seen = compute_negative_log_likelihood(pixels, batch["pixels"], net.picture_log_variance)
    return seen + compute_negative_log_likelihood(
        units, net.scale_sound(batch["units"]), net.sound_log_variance
    )


def _measure_elbo(net: JointVae, both: Posterior, batch: Mapping[str, Tensor]) -> float:
    noise = torch.randn(both.mean.shape, generator=torch.Generator().manual_seed(0)).to(both.mean.device)
    latents = both.sample(noise)
    errors = _measure_errors(net, net.decode_picture(latents), net.decode_sound(latents), batch)
    return -float((errors + compute_kl(both).sum(1)).mean())
