"""What the tasks of a captioner share: batches of all families, the net, its loss and its export.

Shapes: n vectors of a worker's share of a family, D dimensions, T tokens of a caption.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch

from pipelines.errors import ConfigError
from pipelines.models.prefix_captioner import PrefixCaptioner, save_captioner
from pipelines.train.captioner.data import CaptionedVectors, add_noise
from pipelines.train.captioner.words import FirstWords
from pipelines.train.distributed import WorkerGroup
from pipelines.train.optimizers import make_optimizer
from pipelines.train.task import Scores, StepDraw, StepLoss, Task, TaskContext
from schemas.captioner import CaptionerCard, MapperShape
from schemas.recipe import Recipe

if TYPE_CHECKING:
    from torch import Tensor, nn

# Vectors of a family that are validated on, at most, and how many at once.
_HELD, _CHUNK = 256, 64
# Family -> its vectors, tokens and their counts.
Batch = dict[str, tuple["Tensor", "Tensor", "Tensor"]]


@dataclass
class CaptionerTask(Task):
    """What all tasks of captioners share.

    Attributes:
        prefix: tokens that stand for a vector.
        hidden: numbers between a mapper's two layers.
        noise: deviation of the noise on each number of a vector of a text; media get none.
        most: tokens of a caption; a longer one is cut.
        dropout: of GPT-2.
        frozen: whether GPT-2 stays as it is, and only the mappers are trained.
        half: whether the export is in fp16.
    """

    prefix: int = 10
    hidden: int = 256
    noise: float = 0.03
    most: int = 40
    dropout: float = 0.0
    frozen: bool = False
    half: bool = False

    @abstractmethod
    def read_data(self, context: TaskContext) -> Sequence[CaptionedVectors]:
        """Return the vectors of each family with their captions.

        Args:
            context: of the training.

        Raises:
            ConfigError: there are too few.
        """

    @abstractmethod
    def read_words(self, context: TaskContext) -> FirstWords:
        """Return the GPT-2 to begin with.

        Args:
            context: of the training.

        Raises:
            ConfigError: there is none.
        """

    def open(self, context: TaskContext) -> Self:
        """Read the vectors and the GPT-2.

        Raises:
            ConfigError: there is too little data, or no GPT-2.
        """
        super().open(context)
        self.words: FirstWords = self.read_words(context)
        self.data: Sequence[CaptionedVectors] = self.read_data(context)
        share = context.recipe.batch // len(self.data)
        for each in self.data:
            if not share or len(each.train_N) < share or not len(each.held_N):
                raise ConfigError(
                    f"{len(each.train_N)} captioned vectors of {each.family} to train on and "
                    f"{len(each.held_N)} to validate on are too few for {share} in a batch; build more rows, "
                    "or take another recipe.batch"
                )
        self._ids = [[self._tokenize(texts) for texts in each.captions] for each in self.data]
        return self

    def describe(self) -> dict[str, Any]:
        """Return the settings, with the files of GPT-2 in place of where they lie."""
        words = getattr(self, "words", None)
        return super().describe() | ({"gpt2": words.described} if words else {})

    def build(self, seed: int) -> nn.Module:  # noqa: ARG002 - the trainer has set it
        """Return random mappers and the GPT-2."""
        card = CaptionerCard(
            gpt2=self.words.shape,
            prefix=self.prefix,
            mappers={
                each.family: MapperShape(dims=each.space.dims, hidden=self.hidden, space=each.space.identity)
                for each in self.data
            },
            trained_on=_name_kinds({each.is_text for each in self.data}),
        )
        net = PrefixCaptioner(card, self.dropout)
        if self.words.weights is not None:
            tied = {"lm_head.weight": self.words.weights["transformer.wte.weight"]}
            net.gpt2.load_state_dict({**self.words.weights, **tied})
        if self.frozen:
            net.gpt2.requires_grad_(False)
        return net

    def make_optimizer(self, net: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
        """Return the optimiser of what is trained, with decay for matrices alone."""
        weights = [each for each in net.parameters() if each.requires_grad]
        decay = recipe.optimizer.weight_decay
        return make_optimizer(
            [
                {"params": [each for each in weights if each.ndim >= 2], "weight_decay": decay},
                {"params": [each for each in weights if each.ndim < 2], "weight_decay": 0.0},
            ],
            recipe.optimizer,
        )

    def make_batch(self, step: int, group: WorkerGroup) -> Batch:
        """Return a worker's share of each family's part of the batch."""
        batch: Batch = {}
        share = self.context.recipe.batch // len(self.data)
        for number, each in enumerate(self.data):
            rng = np.random.default_rng([self.context.recipe.seed, step, number])
            rows = self._choose_rows(each.train_N, share, step, number)
            variants = rng.integers(1 << 30, size=share)
            units_ND = add_noise(each.units_ND[rows], self.noise if each.is_text else 0.0, rng)
            own = group.slice_batch(share)
            batch[each.family] = self._collate(number, rows[own], variants[own], units_ND[own])
        return batch

    def _choose_rows(self, train_N: np.ndarray, share: int, step: int, number: int) -> np.ndarray:
        """Return the rows of a step: each pass over a family goes through its rows in another order."""
        epoch, part = divmod(step, len(train_N) // share)
        order = np.random.default_rng([self.context.recipe.seed, epoch, number, 1]).permutation(train_N)
        return order[part * share : (part + 1) * share]

    def count_steps(self) -> int:
        """Return the steps of a pass over the rows of the largest family."""
        return max(len(each.train_N) for each in self.data) // (self.context.recipe.batch // len(self.data))

    def compute_loss(self, net: nn.Module, batch: Batch, draw: StepDraw, group: WorkerGroup) -> StepLoss:  # noqa: ARG002
        """Return the mean negative log-likelihood of a token, of all families alike."""
        total, parts = torch.zeros((), device=self.context.device), {}
        with draw.use_autocast():
            for family, (units, ids, counts) in batch.items():
                losses = net(units, family, ids, counts)
                share = losses.sum() / (self.context.recipe.batch // len(self.data))
                parts[family] = share.detach()
                total = total + share / len(batch)
        return StepLoss(total, parts)

    def validate(self, net: nn.Module) -> Mapping[str, Scores]:
        """Return the mean log-likelihood of a token of held-out captions."""
        scores: dict[str, float] = {}
        with torch.inference_mode():
            for number, each in enumerate(self.data):
                held = each.held_N[:_HELD]
                losses = [
                    net(units, each.family, ids, counts)
                    for units, ids, counts in (
                        self._collate(
                            number, rows, np.zeros_like(rows), each.units_ND[rows].astype(np.float32)
                        )
                        for rows in np.split(held, range(_CHUNK, len(held), _CHUNK))
                    )
                ]
                scores[f"{each.family}_log_likelihood"] = -float(torch.cat(losses).mean())
        return {"": {"log_likelihood": float(np.mean([*scores.values()])), **scores}}

    def save(self, net: nn.Module, folder: Path) -> None:
        """Write the captioner, its card and its vocabulary."""
        assert isinstance(net, PrefixCaptioner)
        save_captioner(net, folder, half=self.half)
        self.words.tokenizer.save(folder)

    def _tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        room = min(self.most, self.words.shape.positions - self.prefix)
        end = self.words.shape.end
        return [[*ids[:-1][: room - 1], end] for ids in map(self.words.tokenizer.tokenize, texts)]

    def _collate(
        self, number: int, rows: np.ndarray, variants: np.ndarray, units_ND: np.ndarray
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return vectors, the tokens of one caption of each, and their counts."""
        own = self._ids[number]
        chosen = [own[row][variant % len(own[row])] for row, variant in zip(rows, variants, strict=True)]
        ids = torch.full((len(chosen), max(map(len, chosen), default=1)), self.words.shape.end)
        for place, each in enumerate(chosen):
            ids[place, : len(each)] = torch.tensor(each)
        counts = torch.tensor([len(each) for each in chosen])
        device = self.context.device
        return torch.from_numpy(units_ND).to(device), ids.to(device), counts.to(device)


def _name_kinds(kinds: set[bool]) -> Any:
    return "both" if len(kinds) > 1 else ("texts" if True in kinds else "media")
