"""The trainer: it takes the steps of any task, alone or as one of several workers.

It owns seeds, rates, checkpoints, resume, averages, curves and the best weights of every member. After a kill
the same call goes on from the last checkpoint, and takes the steps that it would have taken.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pipelines.compute.device import choose_device
from pipelines.errors import StopJob
from pipelines.store.root import Root
from pipelines.train.best import BestMembers, make_results
from pipelines.train.checkpoints import as_damage, check_checkpoint, read_checkpoint, write_checkpoint
from pipelines.train.curves import Curves, check_scores
from pipelines.train.distributed import WorkerGroup
from pipelines.train.gradients import check_accumulation, compute_gradients
from pipelines.train.optimizers import (
    clip_gradients,
    read_highest_rates,
    reduce_gradients,
    restore_optimizer,
    set_rates,
    snapshot_optimizer,
)
from pipelines.train.random_state import read_random_state, set_random_state
from pipelines.train.task import StepDraw, StepLoss, StepProgress, Task, TaskContext, TrainingResult
from schemas.recipe import Recipe

if TYPE_CHECKING:
    import torch
    from torch import nn

# Steps between two checkpoints of a task without epochs.
_CHECKPOINT_EVERY = 100


class Trainer:
    """One task under training.

    Attributes:
        task: opened.
        net: under training.
        step: completed steps.
        steps: in all.
        loading_s: seconds that batches took to make, in this process.
    """

    def __init__(  # noqa: PLR0913
        self,
        task: Task,
        recipe: Recipe,
        folder: Root,
        *,
        name: str = "model",
        caches: Path,
        group: WorkerGroup | None = None,
        device: torch.device | None = None,
        progress: StepProgress | None = None,
    ) -> None:
        """Open a task and resume its training from its checkpoint, or begin it.

        Args:
            task: what is trained.
            recipe: how.
            folder: of the checkpoint and the curves; any URL.
            name: of what is trained.
            caches: a folder of this machine for the task's caches.
            group: the workers; this process alone if None.
            device: of the net; the GPU if there is one, if None.
            progress: called after each step with its number, from 1, and its loss.

        Raises:
            ConfigError: the checkpoint is of another training, or there is too little data.
            StorageError: the checkpoint is damaged.
        """
        import torch

        self.recipe, self._folder, self._progress = recipe, folder, progress
        self._group, self._device = group or WorkerGroup(), device or choose_device()
        check_accumulation(task, recipe.accumulate)
        torch.manual_seed(recipe.seed)
        self.task = task.open(TaskContext(name, recipe, caches, self._device, self._group))
        self.net = self.task.build(recipe.seed).to(self._device)
        if recipe.init_from is not None:
            self.task.load_initial(self.net, recipe.init_from)
        self._epoch_steps = self.task.count_steps()
        self.step, self.steps, self._seconds, self.loading_s = 0, self._count_steps(), 0.0, 0.0
        self.optimizer = self.task.make_optimizer(self.net, recipe)
        self._highest_rates = read_highest_rates(self.optimizer)
        self._averaged = None
        if recipe.ema is not None:
            self._averaged = torch.optim.swa_utils.AveragedModel(self.net, avg_fn=self._average)
        self._best = BestMembers()
        self._curves = Curves()
        self._random_state: list[torch.Tensor] = []
        self._resume()

    def train(self, until: int | None = None) -> Self:
        """Take the steps that are left, and return itself.

        Args:
            until: the step to pause after; the last if None.

        Raises:
            StopJob: the loss is no number.
        """
        if self._random_state and self.task.uses_global_rng:
            set_random_state(self._random_state, self._device)
            self._random_state = []
        self.net.train()
        recipe = self.recipe
        began = time.perf_counter()
        while self.step < min(self.steps, until or self.steps):
            loss = self._take_step()
            self.step += 1
            logs = self._is_due(recipe.log_every) or self.step == 1
            saves = self._is_due(self._checkpoint_every)
            if logs or saves or self._progress is not None:
                loss = self._add_shares(loss)
            if logs:
                self._curves.add_loss(self.step, loss)
            if self._is_due(self._validate_every):
                self._validate(self._seconds + time.perf_counter() - began)
            if saves:
                self._seconds += time.perf_counter() - began
                began = time.perf_counter()
                self._check_loss(loss)
                self._save()
            if self._progress is not None:
                self._progress(self.step, float(loss.total))
        return self

    def export(self, folder: Path) -> Sequence[Any]:
        """Write what was trained to an empty folder, and return its cards."""
        return self.task.export(self.select_net(), folder, self.make_result())

    def select_net(self) -> nn.Module:
        """Return the net of the result, for inference: averaged if the recipe says so, the best weights."""
        net = self.get_result_net()
        if self.recipe.select == "best":
            self._best.load(self.task, net)
        return net.eval().requires_grad_(False)

    def get_result_net(self) -> nn.Module:
        """Return the averaged net if the recipe has an average, else the net."""
        return self.net if self._averaged is None else self._averaged.module

    def make_result(self) -> TrainingResult:
        """Return what the training found."""
        members = make_results(self.task, self._curves, self.recipe.select)
        return TrainingResult(self.step, self._seconds, self._curves.loss, members)

    def _count_steps(self) -> int:
        if self.recipe.steps is not None:
            return self.recipe.steps
        if self._epoch_steps is None:
            raise StopJob(
                f"{type(self.task).__name__} has data without end, so epochs are not counted; give "
                "recipe.steps"
            )
        assert self.recipe.epochs is not None
        return self.recipe.epochs * self._epoch_steps

    @property
    def _checkpoint_every(self) -> int:
        return self.recipe.checkpoint_every or self._epoch_steps or _CHECKPOINT_EVERY

    @property
    def _validate_every(self) -> int:
        return self.recipe.validate_every or self._epoch_steps or self.steps

    def _is_due(self, every: int) -> bool:
        return self.step % every == 0 or self.step == self.steps

    def _count_epoch(self, step: int) -> int:
        return step // self._epoch_steps if self._epoch_steps and self.recipe.epochs else step

    def _take_step(self) -> StepLoss:
        recipe, schedule = self.recipe, self.recipe.schedule
        set_rates(self.optimizer, self._highest_rates, schedule, self.step, self.steps)
        falling = schedule.is_falling(self.step, self.steps)
        draw = StepDraw(recipe.seed, self.step, self._device, recipe.precision, falling)
        began = time.perf_counter()
        batch = self.task.make_batch(self.step, self._group)
        self.loading_s += time.perf_counter() - began
        self.optimizer.zero_grad()
        loss = compute_gradients(self.task, self.net, batch, draw, self._group, recipe.accumulate)
        reduce_gradients(self.optimizer, self._group)
        if recipe.clip_norm is not None:
            norm = clip_gradients(self.net, self.optimizer, recipe.clip_norm)
            if not math.isfinite(float(norm)):
                raise self._make_error("gradient", float(norm))
        self.optimizer.step()
        if self._averaged is not None:
            self._averaged.update_parameters(self.net)
        return loss

    def _add_shares(self, loss: StepLoss) -> StepLoss:
        """Return the loss of the whole batch, the same on every worker: they stop together or not at all."""
        whole = StepLoss(loss.total.clone(), {name: part.clone() for name, part in loss.parts.items()})
        for each in (whole.total, *whole.parts.values()):
            self._group.reduce_all(each)
        return whole

    def _average(self, average: Any, weight: Any, _: Any) -> Any:
        """Average the weights with a memory that is shorter at the start (Adam's bias, without it)."""
        assert self.recipe.ema is not None
        decay = min(self.recipe.ema, (1 + self.step) / (10 + self.step))
        return average + (1 - decay) * (weight - average)

    def _validate(self, seconds: float) -> None:
        net = self.get_result_net().eval()
        scores = check_scores(self.task, self.task.validate(net))
        self.net.train()
        if not scores:
            return
        if self.recipe.select == "best":
            self._best.update(self.task, net, scores)
        self._curves.add_validation(self.step, self._count_epoch(self.step), seconds, scores)

    def _check_loss(self, loss: StepLoss) -> None:
        # Of several members one may diverge alone: the others go on.
        if not any(bool(part.isfinite().any()) for part in (loss.total, *loss.parts.values())):
            raise self._make_error("loss", float(loss.total))

    def _make_error(self, what: str, value: float) -> StopJob:
        return StopJob(
            f"the {what} of {type(self.task).__name__} is {value} at step {self.step}; lower optimizer.lr or "
            "take precision fp32, and train it again from its beginning"
        )

    def _save(self) -> None:
        if self._group.rank != 0:
            return
        state = {
            "identity": self._identity,
            "recipe": self.recipe.describe(),
            "steps": self.steps,
            "step": self.step,
            "seconds": self._seconds,
            "net": self.net.state_dict(),
            "averaged": None if self._averaged is None else self._averaged.module.state_dict(),
            "optimizer": snapshot_optimizer(self.optimizer),
            "best": self._best.snapshot(),
            "curves": vars(self._curves),
            "random": read_random_state(self._device),
        }
        write_checkpoint(self._folder, state, self._describe_curves())

    def _describe_curves(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "steps": self.steps,
            "epoch": self._count_epoch(self.step),
            "losses": self._curves.losses,
            "validations": self._curves.validations,
        }

    @property
    def _identity(self) -> dict[str, Any]:
        return {**self.task.describe(), "weights": sum(each.numel() for each in self.net.parameters())}

    def _resume(self) -> None:
        state = read_checkpoint(self._folder, self._device)
        if state is None:
            return
        check_checkpoint(self._folder, state, self._identity, self.recipe, self.steps)
        with as_damage(self._folder):
            self._restore(state)

    def _restore(self, state: dict[str, Any]) -> None:
        self.step, self._seconds = state["step"], state["seconds"]
        self.net.load_state_dict(state["net"])
        if self._averaged is not None:
            self._averaged.module.load_state_dict(state["averaged"])
            # An AveragedModel with n_averaged == 0 would copy the weights at its next update.
            self._averaged.n_averaged.fill_(self.step)
        restore_optimizer(self.optimizer, state["optimizer"])
        self._best.restore(state["best"])
        self._curves = Curves(**state["curves"])
        self._random_state = state["random"]


def fit(  # noqa: PLR0913
    task: Task,
    recipe: Recipe,
    folder: Root,
    *,
    name: str = "model",
    out: Path,
    caches: Path | None = None,
    group: WorkerGroup | None = None,
    progress: StepProgress | None = None,
) -> Sequence[Any]:
    """Train a task to its end, export it, and return its cards.

    Args:
        task: what is trained.
        recipe: how.
        folder: of the checkpoint and the curves; any URL.
        name: of what is trained.
        out: an empty folder for the export.
        caches: a folder of this machine for the task's caches; a temporary one if None.
        group: the workers; this process alone if None.
        progress: called after each step with its number, from 1, and its loss.
    """
    with tempfile.TemporaryDirectory(prefix="echolens-") as scratch, closing(task):
        trainer = Trainer(
            task,
            recipe,
            folder,
            name=name,
            caches=caches or Path(scratch),
            group=group,
            progress=progress,
        ).train()
        return trainer.export(out)


def train_side_by_side(trainers: Sequence[Trainer], until: int | None = None) -> None:
    """Train independent tasks, each in a thread of its own.

    Two threads that share every matrix product of small nets synchronise 400 times a step.

    Args:
        trainers: of the tasks.
        until: the step to pause after; the last if None.
    """
    if len(trainers) == 1:
        trainers[0].train(until)
        return
    with ThreadPoolExecutor(len(trainers), thread_name_prefix="trainer") as pool:
        list(pool.map(Trainer.train, trainers, [until] * len(trainers)))
