"""What the tasks of an adapter share: the base, the data, the net, and its export.

All train the same net, so that one goes on from what another has exported.

Shapes: n sounds of a worker's share, D dimensions of their vectors, K tokens, T tokens of a text, C numbers.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch

from pipelines.errors import ConfigError
from pipelines.generate.stable_diffusion.base import POCKET, DiffusionBase, find_base, hash_unet, load_base
from pipelines.models.adapter_files import load_into_adapter, save_adapter
from pipelines.models.audio_adapter import AudioAdapter
from pipelines.models.audio_attention import describe_shape, read_word_attention
from pipelines.train.adapter.criterion import (
    compute_token_losses,
    compute_word_means,
    scale_tokens,
)
from pipelines.train.adapter.data import SoundPictures
from pipelines.train.distributed import WorkerGroup
from pipelines.train.optimizers import make_optimizer
from pipelines.train.task import Task, TaskContext
from schemas.audio_adapter import AdapterCard, AdapterLoss, AdapterSettings, Annealing
from schemas.recipe import Recipe

if TYPE_CHECKING:
    from torch import Tensor, nn

# Sounds that are validated on, at most.
_HELD = 256
CHUNK = 32
Batch = dict[str, "Tensor"]


@dataclass
class AdapterTask(Task):
    """What both tasks share.

    Attributes:
        base: pocket, a folder or a repository of the hub.
        revision: a commit of the repository.
        adapter: the choices that the adapter is made of.
        loss: the weights of its parts.
        anneal: how the temperature falls; it is the adapter's own all the time if None.
        half: whether the export is in fp16.
    """

    base: str = POCKET
    revision: str | None = None
    adapter: AdapterSettings = field(default_factory=AdapterSettings)
    loss: AdapterLoss = field(default_factory=lambda: AdapterLoss(info_nce=1.0, alignment=0.5))
    anneal: Annealing | None = None
    half: bool = False

    def __post_init__(self) -> None:
        # A preset's file gives keys.
        self.adapter = AdapterSettings.model_validate(self.adapter)
        self.loss = AdapterLoss.model_validate(self.loss)
        self.anneal = None if self.anneal is None else Annealing.model_validate(self.anneal)

    @abstractmethod
    def read_data(self, context: TaskContext) -> SoundPictures:
        """Return the sounds and their pictures.

        Args:
            context: of the training.

        Raises:
            ConfigError: there are too few.
        """

    def open(self, context: TaskContext) -> Self:
        """Load the base and read the data.

        Raises:
            ConfigError: there is no base, too little data, or a part of the loss has none.
        """
        super().open(context)
        folder = find_base(self.base, self.revision)
        self.diffusion: DiffusionBase = load_base(folder, torch.float32)
        self._base_sha256 = hash_unet(folder)
        data = self.read_data(context)
        self.data: SoundPictures = data
        if len(data.train_S) < context.recipe.batch or len(data.held_S) < 2:
            raise ConfigError(
                f"{len(data.train_S)} sounds with pictures to train on and {len(data.held_S)} to "
                f"validate on are too few for batches of {context.recipe.batch}; build more rows, or take a "
                "smaller recipe.batch"
            )
        if self.loss.consistency and data.windows_MD is None:
            raise ConfigError(
                "loss.consistency compares windows of a sound, and none are read; take windows: true and a "
                "set with encode.windows: true, or loss.consistency 0"
            )
        return self

    def describe(self) -> dict[str, Any]:
        """Return the settings, with the weights of the base in place of where they lie."""
        return super().describe() | {"base": getattr(self, "_base_sha256", self.base)}

    def build(self, seed: int) -> nn.Module:  # noqa: ARG002 - the trainer has set it
        """Return an adapter whose keys and values are those of the words."""
        shape = describe_shape(self.diffusion.unet, self.data.space.dims)
        adapter = AudioAdapter(self.adapter, shape)
        adapter.copy_attention(read_word_attention(self.diffusion.unet))
        return adapter

    def load_initial(self, net: nn.Module, place: str) -> None:
        """Give the adapter the weights of another one's folder.

        Raises:
            ConfigError: it holds no adapter, or one of other settings.
        """
        assert isinstance(net, AudioAdapter)
        load_into_adapter(net, Path(place))

    def make_optimizer(self, net: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
        """Return the optimiser, with decay for matrices alone."""
        weights = [each for each in net.parameters() if each.requires_grad]
        settings = recipe.optimizer
        groups = [
            {"params": [each for each in weights if each.ndim >= 2], "weight_decay": settings.weight_decay},
            {"params": [each for each in weights if each.ndim < 2], "weight_decay": 0.0},
        ]
        return make_optimizer(groups, settings)

    def make_batch(self, step: int, group: WorkerGroup) -> Batch:
        """Return a worker's sounds, the states of their captions, and what the loss needs beside them."""
        rng = np.random.default_rng([self.context.recipe.seed, step])
        rows = rng.choice(self.data.train_S, self.context.recipe.batch, replace=False)
        pictures = rng.integers(self.data.pictures, size=len(rows))
        variants = rng.integers(1 << 30, size=len(rows))
        own = group.slice_batch(len(rows))
        batch = self.read_sounds(rows[own], pictures[own], variants[own])
        if self.loss.consistency:
            batch["one"], batch["other"] = (
                torch.from_numpy(each[own]) for each in self.data.draw_windows(rows, rng)
            )
        batch |= self.add_pictures(rows, pictures, own, step)
        device = self.context.device
        return {name: each.to(device) for name, each in batch.items()}

    def add_pictures(self, rows: np.ndarray, pictures: np.ndarray, own: slice, step: int) -> Batch:  # noqa: ARG002
        """Return what a task needs of the pictures of a batch; nothing by default.

        Args:
            rows: places of the sounds of the whole batch.
            pictures: one of each.
            own: which of them are the worker's.
            step: from 0.
        """
        return {}

    def set_temperature(self, adapter: AudioAdapter, step: int) -> None:
        """Give an adapter the temperature of a step."""
        end = self.adapter.temperature
        adapter.temperature = end if self.anneal is None else self.anneal.compute(step, end)

    def save(self, net: nn.Module, folder: Path) -> None:
        """Write the files that diffusers loads, what makes the tokens, and their card."""
        assert isinstance(net, AudioAdapter)
        card = AdapterCard(
            settings=self.adapter, shape=net.shape, space=self.data.space.identity, base=self._base_sha256
        )
        save_adapter(net, card, folder, half=self.half)

    def read_sounds(self, rows: np.ndarray, pictures: np.ndarray, variants: Iterable[int]) -> Batch:
        """Return `sounds` `[n, D]`, and of their captions `words` `[n, T, C]` and `counts` `[n]`."""
        texts = [
            self.data.make_caption(int(row), int(picture), int(variant))
            for row, picture, variant in zip(rows, pictures, variants, strict=True)
        ]
        tokenizer, length = self.diffusion.tokenizer, self.diffusion.text_length
        counts = [min(length, len(tokenizer(text).input_ids)) for text in texts]
        with torch.no_grad():
            words = self.diffusion.encode_words(texts)
        units = self.data.sounds_SD[rows].astype(np.float32)
        return {"sounds": torch.from_numpy(units), "words": words, "counts": torch.tensor(counts)}

    def compute_parts(
        self, adapter: AudioAdapter, batch: Batch, embeds: Sequence[Tensor]
    ) -> dict[str, Tensor]:
        """Return the parts of the loss that compare no samples and need no UNet, unweighted."""
        loss = self.loss
        tokens = scale_tokens(adapter, adapter.project(embeds))
        parts = compute_token_losses(adapter, loss, tokens, batch["sounds"])
        if loss.alignment:
            target = compute_word_means(batch["words"], batch["counts"])
            parts["alignment"] = (tokens.mean(1) - target).square().mean()
        if loss.consistency:
            one, other = (scale_tokens(adapter, adapter(batch[name])) for name in ("one", "other"))
            parts["consistency"] = (one - other).square().mean()
        return parts

    def choose_held(self) -> np.ndarray:
        """Return the places of the sounds that are validated on."""
        held = self.data.held_S
        if len(held) <= _HELD:
            return held
        return np.sort(np.random.default_rng(0).choice(held, _HELD, replace=False))
