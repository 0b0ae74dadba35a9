"""The task of translators: all experiments over one data set of a preset, and the baselines beside them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from pipelines.errors import ConfigError
from pipelines.store.splits import TRAIN, VALIDATION
from pipelines.train.distributed import WorkerGroup
from pipelines.train.precision import use_bf16_products
from pipelines.train.task import Scores, StepDraw, StepLoss, Task, TaskContext, TrainingResult
from pipelines.train.translators.export import TranslatorExport
from pipelines.train.translators.pair_batches import iterate_batches
from pipelines.train.translators.pairs import VALIDATION_ROWS, PairTable
from pipelines.train.translators.training_pairs import TrainingPairs, load_tensors
from pipelines.translate.translator import FOLDER
from schemas.recipe import Recipe
from schemas.training import Experiment, FitSettings
from schemas.translator_card import TranslatorCard

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from pipelines.train.translators.stacked import StackedNets

_CHUNK = 4096


def make_recipe(fit: FitSettings) -> Recipe:
    """Return the recipe of a preset's `fit`; rates and decays are those of each experiment."""
    return Recipe(
        epochs=fit.epochs, batch=fit.batch, seed=fit.order_seed, precision=fit.precision, select=fit.select
    )


@dataclass
class TranslatorsTask(Task):
    """The task: pairs of vectors -> a translator for every experiment.

    Attributes:
        pairs: which, shared by the tasks that train side by side.
        experiments: of this task.
        has_baselines: whether the baselines are exported with them.
    """

    stored_in: ClassVar[str] = FOLDER

    pairs: TrainingPairs
    experiments: tuple[Experiment, ...]
    has_baselines: bool = True
    _table: PairTable | None = field(default=None, init=False, repr=False)

    @property
    def uses_global_rng(self) -> bool:  # type: ignore[override]
        """Whether an experiment has dropout; these are all in one task."""
        return any(experiment.p_drop for experiment in self.experiments)

    @property
    def _has_noise(self) -> bool:
        return any(experiment.target_noise for experiment in self.experiments)

    def open(self, context: TaskContext) -> Self:
        """Read the pairs.

        Raises:
            ConfigError: there are fewer pairs than a batch, or none to validate on.
        """
        super().open(context)
        self._table = table = self.pairs.read(context.folder)
        batch, held = context.recipe.batch, table.sample_rows(VALIDATION, VALIDATION_ROWS)
        self._train = table.find_rows(TRAIN)
        if len(self._train) < batch or not len(held):
            raise ConfigError(
                f"{len(self._train)} pairs to train on and {len(held)} to validate on are too few for "
                f"batches of {batch} ({dict(table.dropped)} were dropped); take more rows, or a smaller "
                "fit.batch"
            )
        self._held = [
            load_tensors(table, held[start : start + _CHUNK], context.device)
            for start in range(0, len(held), _CHUNK)
        ]
        self._batches: Iterator[np.ndarray] = iter(())
        self._next_step = -1
        return self

    def divide(self, count: int) -> Sequence[Task]:
        """Return tasks of about equal cost; the first has those with dropout, and the baselines."""
        groups = balance_groups(self.experiments, count)
        return [
            replace(self, experiments=tuple(group), has_baselines=self.has_baselines and number == 0)
            for number, group in enumerate(groups)
        ]

    def describe(self) -> dict[str, Any]:
        """Return the pairs and the experiments."""
        experiments = [experiment.model_dump(mode="json") for experiment in self.experiments]
        return {"task": "translators", **self.pairs.describe(), "cells": experiments}

    def make_process_context(self) -> AbstractContextManager[None]:
        """Narrow the products of a CPU if the recipe says so."""
        context = self.context
        return use_bf16_products(context.recipe.precision == "bf16" and context.device.type == "cpu")

    def count_steps(self) -> int:
        """Return the full batches of an epoch."""
        return len(self._train) // self.context.recipe.batch

    def build(self, seed: int) -> nn.Module:  # noqa: ARG002 - each experiment has its own
        """Return the stacked nets, each with the first weights of its own seed."""
        from pipelines.train.translators.stacked import StackedNets

        return StackedNets(self.experiments, self._get_table().dims)

    def make_optimizer(self, net: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:  # noqa: ARG002
        """Return one AdamW, with the rate, the decay and the schedule of each experiment."""
        from pipelines.train.translators.stacked import StackedAdamW

        return StackedAdamW(_as_stacked(net))

    def make_batch(self, step: int, group: WorkerGroup) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return a worker's rows of a step's pairs, `[n, I]` and `[n, O]`, and which take noise, `[n, 1]`.

        Noise is for captions as targets, which stand beside the sounds that are meant; None: all may take it.
        """
        import torch

        recipe, table = self.context.recipe, self._get_table()
        epoch, place = divmod(step, self.count_steps())
        if place == 0 or step != self._next_step:
            mapped = isinstance(table.source_NI, np.memmap)
            batches = iterate_batches(self._train, recipe.batch, recipe.seed, epoch, mapped=mapped)
            self._batches = islice(batches, place, None)
        self._next_step = step + 1
        rows = next(self._batches)[group.slice_batch(recipe.batch)]
        pairs = load_tensors(table, rows, self.context.device)
        if not self._has_noise or table.is_text_N.all():
            return (*pairs, None)
        return (*pairs, torch.from_numpy(table.is_text_N[rows, None].astype(np.float32)).to(pairs[1].device))

    def compute_loss(
        self, net: nn.Module, batch: tuple[Tensor, Tensor, Tensor | None], draw: StepDraw, group: WorkerGroup
    ) -> StepLoss:
        """Return the sum of the losses of all experiments."""
        import torch

        # On a CPU the precision is that of the process, once for all threads.
        with draw.use_autocast(draw.device.type != "cpu"):
            source_NI, target_NO, noisy_N1 = batch
            losses = _as_stacked(net).compute_losses(
                source_NI, target_NO, draw.make_generator(), group, noisy_N1
            )
        parts = {name: loss.detach() for name, loss in losses.items()}
        return StepLoss(torch.stack([*losses.values()]).sum(), parts)

    def validate(self, net: nn.Module) -> Mapping[str, Scores]:
        """Return the mean cosine of the validation pairs for every experiment."""
        cosines = _as_stacked(net).compute_cosines(self._held)
        return {name: {"cosine": cosine} for name, cosine in cosines.items()}

    def list_members(self, net: nn.Module) -> Mapping[str, Mapping[str, Tensor]]:
        """Return the weights of every experiment."""
        members: dict[str, Mapping[str, Tensor]] = {}
        for group in _as_stacked(net).iterate_groups():
            members |= group.list_members()
        return members

    def export(self, net: nn.Module, folder: Path, result: TrainingResult) -> list[TranslatorCard]:
        """Score every experiment and the baselines on the test pairs, and write them as translators.

        Raises:
            ConfigError: no pair is held out.
        """
        export = TranslatorExport(self.pairs, self._get_table(), folder, result.seconds)
        members = self.list_members(net)
        cards = [
            export.write_experiment(experiment, members[experiment.name], result.members[experiment.name])
            for experiment in self.experiments
        ]
        return cards + (export.write_baselines() if self.has_baselines else [])

    def _get_table(self) -> PairTable:
        assert self._table is not None
        return self._table


def _as_stacked(net: nn.Module) -> StackedNets:
    stacked: Any = net
    nets: StackedNets = stacked
    return nets


def balance_groups(experiments: Sequence[Experiment], count: int) -> list[list[Experiment]]:
    """Split experiments into at most `count` groups of about equal cost; no group is empty.

    Each group trains in a thread of its own: experiments are independent, and two threads that share every
    matrix product synchronise 400 times a step. Experiments with dropout draw from PyTorch's global random
    stream, so they share a group, the first.
    """
    groups: list[list[Experiment]] = [[] for _ in range(min(count, len(experiments)))]
    costs = [0] * len(groups)
    for experiment in sorted(experiments, key=lambda each: (not each.p_drop, -_estimate_cost(each))):
        cheapest = 0 if experiment.p_drop else costs.index(min(costs))
        groups[cheapest].append(experiment)
        costs[cheapest] += _estimate_cost(experiment)
    return [group for group in groups if group]


def _estimate_cost(experiment: Experiment) -> int:
    # Products at 512 dimensions: of three layers, of two a block, of transformer layers over four tokens.
    between = {"mlp": experiment.hidden, "residual_mlp": 4 * experiment.depth * experiment.hidden}
    return experiment.hidden * (1024 + between.get(experiment.net, 48 * experiment.depth * experiment.hidden))
