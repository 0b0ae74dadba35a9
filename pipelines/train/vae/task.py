"""The task of a VAE of spectrograms, whatever its sounds come from.

Shapes: n segments of a worker, H bands, S frames, D dimensions of the latent, C classes.
"""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import torch

from pipelines.errors import ConfigError
from pipelines.models.spectrogram_vae import ModernVae, Posterior
from pipelines.models.vae_files import (
    SpectrogramVae,
    build_vae,
    decode_with,
    encode_with,
    save_vae,
)
from pipelines.store.validation import check_content
from pipelines.train.distributed import WorkerGroup
from pipelines.train.task import Scores, StepDraw, StepLoss, Task, TaskContext
from pipelines.train.vae.data import VaeData
from pipelines.train.vae.fitted_prior import fit_prior
from pipelines.train.vae.scores import find_prior_with, score_vae
from pipelines.train.vae_losses import (
    compute_kl,
    compute_negative_log_likelihood,
    keep_free_bits,
    warm_up,
)
from schemas.spectrogram_vae import KlSettings, SpectrogramFront, VaeCard, VaeNet

if TYPE_CHECKING:
    from torch import Tensor, nn

_log = logging.getLogger(__name__)

# Training sounds whose latents are looked at: 24 kinds of 100 each have a covariance of 32 dimensions.
_FITTED_SOUNDS = 4_000
_SCORED_SOUNDS = 256


@dataclass
class VaeTask(Task):
    """What the tasks of all sources share.

    Attributes:
        front: what the net hears.
        net: its layers.
        kl: how much the latents may say.
        drop_class: share of sounds whose class is not told, so that the net can do without.
        half: whether the weights are stored as fp16.
    """

    front: SpectrogramFront = field(default_factory=SpectrogramFront)
    net: VaeNet = field(default_factory=VaeNet)
    kl: KlSettings = field(default_factory=KlSettings)
    drop_class: float = 0.1
    half: bool = False
    _data: Any = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        """Take keys of a preset's file as settings."""
        self.front = SpectrogramFront.model_validate(self.front)
        self.net = VaeNet.model_validate(self.net)
        self.kl = KlSettings.model_validate(self.kl)
        if not 0 <= self.drop_class <= 1:
            raise ConfigError(f"drop_class is {self.drop_class}; it must be a share between 0 and 1")
        if self.kl.fixed != (self.net.kind == "seed"):
            raise ConfigError(
                f"kl.fixed is {self.kl.fixed} and net.kind is {self.net.kind}; the seed's net has a fixed "
                "variance, and the modern one learns it"
            )

    @abstractmethod
    def read_data(self, context: TaskContext, draft: VaeCard) -> VaeData:
        """Return the sounds.

        Args:
            context: of the training.
            draft: the card without classes.

        Raises:
            ConfigError: there are too few.
        """

    def open(self, context: TaskContext) -> Self:
        """Read the sounds, and find their classes.

        Raises:
            ConfigError: there are too few, or the net does not fit the front.
        """
        draft = check_content(VaeCard, {"front": self.front, "net": self.net}, "net")
        self._data = data = self.read_data(context, draft)
        content = {"front": self.front, "net": self.net, "classes": data.classes, "counts": data.counts}
        self.card = check_content(VaeCard, content, "net")
        return super().open(context)

    def close(self) -> None:
        """End what reads the sounds, if it was opened."""
        if self._data is not None:
            self._data.close()

    def count_steps(self) -> int | None:
        """Return the steps after which every sound was heard."""
        steps: int | None = self._data.steps_per_epoch
        return steps

    def build(self, seed: int) -> nn.Module:  # noqa: ARG002 - the trainer has set it
        """Return the net with random weights."""
        return build_vae(self.card)

    def make_batch(self, step: int, group: WorkerGroup) -> dict[str, Tensor]:
        """Return segments `[n, 1, H, S]`, what is told of their classes `[n]`, and noise for the latents."""
        batch, whole = self._data.make_batch(step, group), self.context.recipe.batch
        generator = torch.Generator().manual_seed((self.context.recipe.seed << 32) + step)
        rows = group.slice_batch(whole)
        noise = torch.randn((whole, self.card.net.latent), generator=generator)[rows]
        is_dropped = torch.rand(whole, generator=generator)[rows] < self.drop_class
        told = torch.where(is_dropped, len(self.card.classes), batch.classes_N)
        device = self.context.device
        return {
            "spectrograms": batch.spectrograms.to(device),
            "classes": told.to(device),
            "noise": noise.to(device),
        }

    def compute_loss(
        self, net: nn.Module, batch: Mapping[str, Tensor], draw: StepDraw, group: WorkerGroup
    ) -> StepLoss:
        """Return the negative ELBO a number of the spectrogram, with a warm-up and free bits of its KL."""
        target, told = batch["spectrograms"], batch["classes"]
        numbers = target[0].numel()
        with draw.use_autocast():
            posterior = Posterior(*(each.float() for each in encode_with(net, target, told)))
            decoded = decode_with(net, posterior.sample(batch["noise"]), told).float()
        kl_nD = compute_kl(posterior, find_prior_with(net, told, batch["noise"]))
        counted = keep_free_bits(kl_nD, self.kl.free_nats)
        if isinstance(net, ModernVae):
            error = compute_negative_log_likelihood(decoded, target, net.find_log_variance()).mean()
        else:
            error = (decoded - target).flatten(1).square().sum(1).mean()
        recipe = self.context.recipe
        steps = recipe.steps or (recipe.epochs or 0) * (self.count_steps() or 0)
        weight = self.kl.beta * warm_up(draw.step, round(self.kl.warmup_share * steps))
        parts = {"reconstruction": error.detach(), "kl": kl_nD.detach().sum(1).mean()}
        loss = (error + weight * counted) / numbers
        return StepLoss(loss / group.size, {name: part / group.size for name, part in parts.items()})

    def validate(self, net: nn.Module) -> Mapping[str, Scores]:
        """Return the ELBO on held-out sounds, with its parts."""
        training = self._data.read_training(_SCORED_SOUNDS)
        return {"": score_vae(net, self.card, self._data.held, training)}

    def save(self, net: nn.Module, folder: Path) -> None:
        """Write the net with the laws of its training latents; a collapsed posterior is said."""
        training = self._data.read_training(_FITTED_SOUNDS)
        means, log_variances = [], []
        with torch.inference_mode():
            for first in range(0, len(training.spectrograms), _SCORED_SOUNDS):
                part = slice(first, first + _SCORED_SOUNDS)
                told = training.classes_N[part].to(self.context.device)
                found = encode_with(net, training.spectrograms[part].to(self.context.device), told)
                means.append(found.mean)
                log_variances.append(found.log_variance)
        posterior = Posterior(torch.cat(means), torch.cat(log_variances))
        fitted = fit_prior(posterior, training.classes_N, len(self.card.classes))
        scores = score_vae(net, self.card, self._data.held, training)
        if scores["active_units"] < scores["units"]:
            _log.warning(
                "%s: %d of %d dimensions of the latent say nothing (the posterior has collapsed there); "
                "raise kl.free_nats or kl.warmup_share, or take a smaller net.latent",
                self.context.name,
                scores["units"] - scores["active_units"],
                scores["units"],
            )
        save_vae(SpectrogramVae(net, self.card, fitted), folder, half=self.half)  # type: ignore[arg-type]
