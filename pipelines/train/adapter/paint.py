"""The later tasks of an adapter: its tokens through a UNet that stays as it is, to pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import torch

from pipelines.errors import ConfigError
from pipelines.models.audio_adapter import AudioAdapter
from pipelines.models.audio_attention import attach_adapter
from pipelines.train.adapter.criterion import sum_parts
from pipelines.train.adapter.data import read_latents
from pipelines.train.adapter.task import CHUNK, AdapterTask, Batch
from pipelines.train.distributed import WorkerGroup
from pipelines.train.noise import NoiseSchedule
from pipelines.train.task import Scores, StepDraw, StepLoss, TaskContext
from schemas.audio_adapter import AdapterLoss

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass
class PaintSounds(AdapterTask):
    """The task: the noise, or velocity, of latents of pictures whose sound and caption are given."""

    is_mean: ClassVar[bool] = True

    loss: AdapterLoss = field(default_factory=lambda: AdapterLoss(diffusion=1.0))

    def open(self, context: TaskContext) -> Self:
        """Load the base, read the data, and encode the pictures that are not cached yet.

        Raises:
            ConfigError: as of the other task, or the loss compares a whole batch.
        """
        if self.loss.info_nce:
            raise ConfigError(
                "loss.info_nce compares the samples of a whole batch, and a task of pictures takes batches "
                "in parts; train with it before, by a task that aligns, and take loss.info_nce 0 here"
            )
        super().open(context)
        vae = self.diffusion.vae
        sha256 = _hash_net(vae)
        self._latents = read_latents(self.data, vae, self.diffusion.picture_px, sha256, context.folder)
        self._noise = NoiseSchedule(self.diffusion.scheduler)
        with torch.no_grad():
            self._no_words = self.diffusion.encode_words([""])
        return self

    def add_pictures(self, rows: np.ndarray, pictures: np.ndarray, own: slice, step: int) -> Batch:
        """Return noisy latents, their times, targets and weights, and which conditions are dropped."""
        generator = torch.Generator().manual_seed(step)
        places = zip(rows.tolist(), pictures.tolist(), strict=True)
        clean = torch.from_numpy(np.stack([self._latents[place] for place in places])).float()
        noisy = self._noise.draw(clean, generator)
        loss, chance = self.loss, torch.rand(len(rows), generator=generator)
        both, sound = loss.drop_both, loss.drop_both + loss.drop_sound
        drops = {
            "without_sound": chance < sound,
            "without_words": (chance < both) | ((chance >= sound) & (chance < sound + loss.drop_words)),
        }
        tensors = {
            "noisy": noisy.noisy,
            "times": noisy.times_N,
            "target": noisy.target,
            "weights": noisy.weights_N,
        }
        return {name: each[own] for name, each in (tensors | drops).items()}

    def compute_loss(self, net: nn.Module, batch: Batch, draw: StepDraw, group: WorkerGroup) -> StepLoss:
        """Return the weighted error of the UNet's predictions, and the other parts of the loss."""
        assert isinstance(net, AudioAdapter)
        self.set_temperature(net, draw.step)
        with draw.use_autocast():
            embeds = net.make_embeds(batch["sounds"])
            parts = self.compute_parts(net, batch, embeds)
            dropped = batch["without_sound"]
            kept = [each * ~dropped[:, None, None] for each in embeds]
            words = torch.where(batch["without_words"][:, None, None], self._no_words, batch["words"])
            errors_n = self._compute_errors(net, batch, words, net.project(kept))
        parts["diffusion"] = (batch["weights"] * errors_n).mean()
        return StepLoss(*sum_parts(self.loss, parts, group.size))

    def validate(self, net: nn.Module) -> Mapping[str, Scores]:
        """Return what a held-out sound takes off the error, with and without its caption, and the error."""
        assert isinstance(net, AudioAdapter)
        self.set_temperature(net, 1 << 40)
        errors: dict[str, list[Tensor]] = {"sound": [], "nothing": [], "words": [], "both": []}
        rows = self.choose_held()
        with torch.inference_mode():
            for start in range(0, len(rows), CHUNK):
                own = rows[start : start + CHUNK]
                first = np.zeros_like(own)
                # The same noise at every validation.
                batch = self.read_sounds(own, first, [0] * len(own))
                batch |= self.add_pictures(own, first, slice(None), start)
                given = {name: each.to(self.context.device) for name, each in batch.items()}
                heard = net.make_embeds(given["sounds"])
                silent = [torch.zeros_like(each) for each in heard]
                empty = self._no_words.expand_as(given["words"])
                for name, embeds, words in (
                    ("sound", heard, empty),
                    ("nothing", silent, empty),
                    ("words", silent, given["words"]),
                    ("both", heard, given["words"]),
                ):
                    found = self._compute_errors(net, given, words, net.project(embeds))
                    errors[name].append(found * given["weights"])
        means = {name: float(torch.cat(each).mean()) for name, each in errors.items()}
        return {
            "": {
                "gain": means["nothing"] - means["sound"],
                "gain_beside_words": means["words"] - means["both"],
                "error": means["both"],
            }
        }

    def _compute_errors(
        self, net: AudioAdapter, batch: Batch, words: Tensor, tokens: Sequence[Tensor]
    ) -> Tensor:
        """Return the squared error of each prediction, `[n]`."""
        attach_adapter(self.diffusion.unet, net)
        strengths = [1.0] * len(tokens)
        states: Any = (words, list(tokens), strengths)
        predicted = self.diffusion.unet(batch["noisy"], batch["times"], encoder_hidden_states=states).sample
        errors_n: Tensor = (predicted.float() - batch["target"]).square().flatten(1).mean(1)
        return errors_n


def _hash_net(net: nn.Module) -> str:
    """Return a fingerprint of a net's weights."""
    import hashlib

    digest = hashlib.sha256()
    for name, weight in sorted(net.state_dict().items()):
        digest.update(name.encode())
        digest.update(weight.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
