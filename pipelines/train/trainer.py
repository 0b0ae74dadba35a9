"""One net of the pocket AudioLDM under training: averaged weights, checkpoints, a rate that fades."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.compute.device import choose_device
from pipelines.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor

Progress = Callable[[str, int, float], None]
# Makes the loss of a step; what it draws depends on the seed and the step alone.
StepLoss = Callable[[int], "Tensor"]

# The average forgets what lies further back than about 200 steps; at first, all but the last few.
_AVERAGE = 0.995
_WARM_UP = 100  # steps
_FADE = 0.7  # of the steps; what comes after makes the weights come to rest


@dataclass(frozen=True)
class AudioLdmSizes:
    """How much a training of the pocket AudioLDM handles at a time; the defaults made the shipped weights.

    Attributes:
        draws: sounds to learn from.
        block: sounds that are made and kept together.
        vae_batch: sounds that a step of the VAE learns from.
        vocoder_batch: the same of the vocoder.
        unet_batch: the same of the UNet; as many latents are made at once.
        checkpoint_every: steps of a part.
    """

    draws: int = 3_000
    block: int = 250
    vae_batch: int = 8
    vocoder_batch: int = 8
    unet_batch: int = 16
    checkpoint_every: int = 50


@dataclass(frozen=True)
class Recipe:
    """How the parts are trained.

    Attributes:
        folder: of the checkpoints.
        seed: of the first weights and the batches.
        steps: of each part, by name.
        sizes: of batches, and how often a part is saved.
        progress: called after each step with the part's name, the step, from 1, and its loss.
    """

    folder: Path
    seed: int
    steps: Mapping[str, int]
    sizes: AudioLdmSizes
    progress: Progress | None = None


class Trainer:
    """A net under training.

    Attributes:
        net: what is trained.
        averaged: the running average of its weights, which is what is kept in the end.
        step: how far it has come.
    """

    def __init__(self, name: str, net: Any, rate: float, recipe: Recipe) -> None:
        """Take up the training of a net in a checkpoint, or begin it.

        Args:
            name: of the part.
            net: with its first weights.
            rate: the highest learning rate.
            recipe: of the training.

        Raises:
            ConfigError: the checkpoint is of another seed, or its rate has begun to fade towards another end.
        """
        import torch

        self.net, self.step = net, 0
        self.file = recipe.folder / f"{name}.pt"
        self.seed, self.steps = recipe.seed, recipe.steps[name]
        self._progress, self._checkpoint_every = recipe.progress, recipe.sizes.checkpoint_every
        self._rate = rate
        self.averaged = torch.optim.swa_utils.AveragedModel(net, avg_fn=self._averaged)
        self.optimizer = torch.optim.AdamW(net.parameters(), lr=rate, betas=(0.9, 0.98), weight_decay=0.01)
        recipe.folder.mkdir(parents=True, exist_ok=True)
        self._resume()

    def _averaged(self, kept: Any, fresh: Any, _: Any) -> Any:
        share = min(_AVERAGE, (1 + self.step) / (10 + self.step))
        return kept + (1 - share) * (fresh - kept)

    def train(self, lesson: StepLoss) -> None:
        """Train to the end."""
        import torch

        while self.step < self.steps:
            self.net.train()
            for group in self.optimizer.param_groups:
                group["lr"] = self._rate * self._share()
            value = lesson(self.step)
            self.optimizer.zero_grad()
            torch.autograd.backward(value)
            torch.nn.utils.clip_grad_norm_(self.net.parameters(), 1.0, error_if_nonfinite=True)
            self.optimizer.step()
            self.averaged.update_parameters(self.net)
            self.step += 1
            if self.step % self._checkpoint_every == 0 or self.step == self.steps:
                self._save()
            if self._progress is not None:
                self._progress(self.file.stem, self.step, float(value.detach()))

    @property
    def fading(self) -> bool:
        """Whether the rate has begun to fade."""
        return self.step >= _FADE * self.steps

    def get_averaged_net(self) -> Any:
        """Return the averaged net, for use."""
        return self.averaged.module.eval().requires_grad_(False)

    def _share(self) -> float:
        """Return the share of the highest rate: up, level, and down along a cosine in the end."""
        faded = max(0.0, self.step / self.steps - _FADE) / (1 - _FADE)
        return min(1.0, (self.step + 1) / _WARM_UP) * math.cos(faded * math.pi / 2) ** 2

    def _save(self) -> None:
        """Write the checkpoint, whole or not at all."""
        import torch

        state = {
            "seed": self.seed,
            "steps": self.steps,
            "step": self.step,
            "net": self.net.state_dict(),
            "averaged": self.averaged.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        scratch = self.file.with_suffix(".tmp")
        torch.save(state, scratch)
        scratch.replace(self.file)

    def _resume(self) -> None:
        import torch

        if not self.file.exists():
            return
        saved = torch.load(self.file, map_location="cpu", weights_only=True)
        # Before the rate fades, a training does not depend on how long it will be.
        fades = saved["steps"] != self.steps and saved["step"] > _FADE * min(saved["steps"], self.steps)
        if saved["seed"] != self.seed or fades:
            raise ConfigError(
                f"{self.file} holds a training of {saved['steps']} steps from seed {saved['seed']}, "
                f"not of {self.steps} from {self.seed}; finish that one or remove the file"
            )
        self.step = saved["step"]
        self.net.load_state_dict(saved["net"])
        self.averaged.module.load_state_dict(saved["averaged"])
        # The first update of an AveragedModel copies the weights.
        self.averaged.n_averaged.fill_(self.step)
        self.optimizer.load_state_dict(saved["optimizer"])


def set_fast_math(wanted: bool = True) -> Any:
    """Return a context in which nets compute in bf16 if wanted and where the machine multiplies it."""
    import torch

    kind = choose_device().type
    bf16 = kind == "cuda" or bool(torch.cpu.get_capabilities().get("amx_bf16", False))
    return torch.autocast(kind, torch.bfloat16, enabled=wanted and bf16)
