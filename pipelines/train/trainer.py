"""Trains one part of the pocket AudioLDM: weight averaging, checkpoints, learning-rate decay."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.compute.device import choose_device
from pipelines.errors import ConfigError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Progress = Callable[[str, int, float], None]
# Computes the loss of a step; its random draws depend on the seed and the step alone.
StepLoss = Callable[[int], "Tensor"]

# Decay of the exponential moving average of the weights: a memory of 200 steps, shorter at the start.
_EMA_DECAY = 0.995
_WARM_UP = 100  # steps
_DECAY_START = 0.7  # share of the steps after which the learning rate decays to 0


@dataclass(frozen=True)
class AudioLdmSizes:
    """Sizes in a training of the pocket AudioLDM; the defaults are those of the shipped weights.

    Attributes:
        draws: training sounds.
        block: sounds that are rendered and cached in one block.
        vae_batch: sounds a step of the VAE.
        vocoder_batch: sounds a step of the vocoder.
        unet_batch: sounds a step of the UNet; also the batch in which latents are encoded.
        checkpoint_every: steps between two checkpoints of a part.
    """

    draws: int = 3_000
    block: int = 250
    vae_batch: int = 8
    vocoder_batch: int = 8
    unet_batch: int = 16
    checkpoint_every: int = 50


@dataclass(frozen=True)
class Recipe:
    """How the parts (VAE, vocoder, UNet) are trained.

    Attributes:
        folder: of the checkpoints.
        seed: of the initial weights and the batches.
        steps: part -> steps.
        sizes: of batches and checkpoint intervals.
        progress: called after each step with the part's name, the step (from 1) and its loss.
    """

    folder: Path
    seed: int
    steps: Mapping[str, int]
    sizes: AudioLdmSizes
    progress: Progress | None = None


class Trainer:
    """Trains one net.

    Attributes:
        net: under training.
        averaged: the exponential moving average of its weights, which is the result.
        step: completed steps.
    """

    def __init__(self, name: str, net: Any, rate: float, recipe: Recipe) -> None:
        """Resume the training of a part from its checkpoint, or begin it.

        Args:
            name: of the part.
            net: with its initial weights.
            rate: the highest learning rate.
            recipe: of the training.

        Raises:
            ConfigError: the checkpoint is of another seed, or its rate decays towards another last step.
        """
        import torch

        self.net, self.step = net, 0
        self.file = recipe.folder / f"{name}.pt"
        self.seed, self.steps = recipe.seed, recipe.steps[name]
        self._progress, self._checkpoint_every = recipe.progress, recipe.sizes.checkpoint_every
        self._rate = rate
        self.averaged = torch.optim.swa_utils.AveragedModel(net, avg_fn=self._average)
        self.optimizer = torch.optim.AdamW(net.parameters(), lr=rate, betas=(0.9, 0.98), weight_decay=0.01)
        recipe.folder.mkdir(parents=True, exist_ok=True)
        self._resume()

    def _average(self, average: Any, weight: Any, _: Any) -> Any:
        decay = min(_EMA_DECAY, (1 + self.step) / (10 + self.step))
        return average + (1 - decay) * (weight - average)

    def train(self, compute_loss: StepLoss) -> None:
        """Train to the last step.

        Args:
            compute_loss: of a step, counted from 0.
        """
        import torch

        while self.step < self.steps:
            self.net.train()
            for group in self.optimizer.param_groups:
                group["lr"] = self._rate * self._compute_rate_factor()
            loss = compute_loss(self.step)
            self.optimizer.zero_grad()
            torch.autograd.backward(loss)
            torch.nn.utils.clip_grad_norm_(self.net.parameters(), 1.0, error_if_nonfinite=True)
            self.optimizer.step()
            self.averaged.update_parameters(self.net)
            self.step += 1
            if self.step % self._checkpoint_every == 0 or self.step == self.steps:
                self._save()
            if self._progress is not None:
                self._progress(self.file.stem, self.step, float(loss.detach()))

    @property
    def is_decaying(self) -> bool:
        """Whether the learning rate has begun to decay."""
        return self.step >= _DECAY_START * self.steps

    def get_averaged_net(self) -> Any:
        """Return the averaged net, for inference."""
        return self.averaged.module.eval().requires_grad_(False)

    def _compute_rate_factor(self) -> float:
        """Return the factor of the highest rate: linear warm-up, constant, cosine decay."""
        decayed = max(0.0, self.step / self.steps - _DECAY_START) / (1 - _DECAY_START)
        return min(1.0, (self.step + 1) / _WARM_UP) * math.cos(decayed * math.pi / 2) ** 2

    def _save(self) -> None:
        """Write the checkpoint atomically."""
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
        # Until the rate decays, a training does not depend on its number of steps.
        differs = saved["steps"] != self.steps and saved["step"] > _DECAY_START * min(
            saved["steps"], self.steps
        )
        if saved["seed"] != self.seed or differs:
            raise ConfigError(
                f"{self.file} holds a training of {saved['steps']} steps from seed {saved['seed']}, "
                f"not of {self.steps} from {self.seed}; finish that one or remove the file"
            )
        self.step = saved["step"]
        self.net.load_state_dict(saved["net"])
        self.averaged.module.load_state_dict(saved["averaged"])
        # An AveragedModel with n_averaged == 0 would copy the weights at its next update.
        self.averaged.n_averaged.fill_(self.step)
        self.optimizer.load_state_dict(saved["optimizer"])


def has_fast_bf16(device: torch.device) -> bool:
    """Return whether a device multiplies bf16 natively: every GPU, and a CPU with AMX."""
    import torch

    return device.type == "cuda" or bool(torch.cpu.get_capabilities().get("amx_bf16", False))


def set_fast_math(enabled: bool = True) -> Any:
    """Return an autocast context for bf16, which does nothing if disabled or where bf16 is not native."""
    import torch

    device = choose_device()
    return torch.autocast(device.type, torch.bfloat16, enabled=enabled and has_fast_bf16(device))
