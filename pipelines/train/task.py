"""The protocol of a task, what is trained: its net, its batches, its loss, its scores and its export.

    @dataclass
    class Mine(Task):
        column: str = "clap_audio"          # keys of the preset's file

        def open(self, context): ...        # read the data; call super().open(context)
        def build(self, seed): ...          # the net
        def make_batch(self, step, group): ...
        def compute_loss(self, net, batch, draw, group): ...

`pipelines.train.trainer` trains it, alone or on several workers. A file below `pipelines/train` offers its
task by `TASKS = {"mine": Mine}`; one of somebody's own is named by module:Class in the preset.
"""

from __future__ import annotations

import hashlib
import inspect
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pipelines.store.models import FOLDER, hash_files
from pipelines.train.distributed import WorkerGroup
from pipelines.train.initial import load_initial
from pipelines.train.optimizers import make_optimizer
from pipelines.train.precision import make_autocast
from pipelines.train.samples import split_samples
from schemas.model_card import ModelCard
from schemas.recipe import Recipe

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

Scores = Mapping[str, float]
# Called after each step with its number, from 1, and its loss.
StepProgress = Callable[[int, float], None]


@dataclass(frozen=True)
class TaskContext:
    """Where and how a task is trained.

    Attributes:
        name: of what is trained; the name of its model.
        recipe: of the training.
        folder: for caches, on this machine.
        device: of the net and its batches.
        group: the workers that share every batch.
    """

    name: str
    recipe: Recipe
    folder: Path
    device: torch.device
    group: WorkerGroup = field(default_factory=WorkerGroup)


@dataclass(frozen=True)
class StepDraw:
    """What a step draws from: a stream that depends on seed and step alone, alike on every worker.

    Attributes:
        seed: of the training.
        step: from 0.
        device: of the net.
        precision: of the recipe.
        is_falling: whether the schedule has begun to lower the rate.
    """

    seed: int
    step: int
    device: torch.device
    precision: str
    is_falling: bool = False

    def make_generator(self, device: torch.device | str = "cpu") -> torch.Generator:
        """Return the step's stream of torch, from its begin."""
        import numpy as np
        import torch

        mixed = np.random.SeedSequence([self.seed, self.step]).generate_state(1, np.uint64)
        return torch.Generator(device).manual_seed(int(mixed[0] >> np.uint64(1)))

    def use_autocast(self, enabled: bool = True) -> Any:
        """Return the autocast context of the recipe's precision, which does nothing if disabled."""
        return make_autocast(self.precision, self.device, enabled)


@dataclass(frozen=True)
class StepLoss:
    """The loss of a step.

    Attributes:
        total: a scalar; what the workers compute adds up to the loss of the whole batch.
        parts: name -> detached scalars, or vectors over members, for the curves.
    """

    total: Tensor
    parts: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class MemberResult:
    """What a training found for one member of a task: a net of its own, or one of several in a stack.

    Attributes:
        epoch: completed when its weights were those; the step where a recipe counts steps.
        score: the best of its validations, as `Task.rank` gives it.
        scores: of the validation of these weights.
        curve: `score` of every validation.
    """

    epoch: int
    score: float
    scores: Scores
    curve: Sequence[float]


@dataclass(frozen=True)
class TrainingResult:
    """A finished training.

    Attributes:
        steps: that were taken.
        seconds: of all of them, over all restarts.
        loss: of the last step.
        members: by name.
    """

    steps: int
    seconds: float
    loss: float
    members: Mapping[str, MemberResult]


class Task(ABC):
    """What is trained: a description, which is picklable, until `open` gives it its data.

    Attributes:
        is_mean: whether the loss of a batch is the mean of those of its samples, so that `accumulate` may
            split it. A loss over a whole batch is a `WholeBatchTask`'s.
        uses_global_rng: whether the net draws from torch's global stream, as dropout does.
        stored_in: the folder of the root that its exports go to.
        context: where it is trained; set by `open`.
    """

    is_mean: ClassVar[bool] = False
    stored_in: ClassVar[str] = FOLDER
    uses_global_rng: bool = True
    context: TaskContext

    def open(self, context: TaskContext) -> Self:
        """Read or prepare the data.

        Args:
            context: where and how it is trained.

        Raises:
            ConfigError: there is too little data.
        """
        self.context = context
        return self

    def check(self, context: TaskContext) -> None:  # noqa: B027 - many need what an earlier training leaves
        """Refuse what `open` would refuse, before the first training of a series that has this one.

        Args:
            context: where and how it will be trained.

        Raises:
            ConfigError: as of `open`.
        """

    def close(self) -> None:  # noqa: B027 - most have nothing to release
        """Release what `open` acquired."""

    def divide(self, count: int) -> Sequence[Task]:  # noqa: ARG002 - one by default
        """Return at most `count` independent tasks that may train side by side, each on one core.

        Args:
            count: of cores.
        """
        return (self,)

    def make_process_context(self) -> AbstractContextManager[None]:
        """Return the context in which the tasks of a process train."""
        return nullcontext()

    def count_steps(self) -> int | None:
        """Return the steps of an epoch; None if the data has no end."""
        return None

    @abstractmethod
    def build(self, seed: int) -> nn.Module:
        """Return the net with its first weights, on the CPU; torch's global stream is at the seed.

        Args:
            seed: of the recipe.
        """

    def load_initial(self, net: nn.Module, place: str) -> None:
        """Give a net the weights of `init_from`.

        Args:
            net: of `build`, on its device.
            place: a .safetensors file, or a folder with exactly one.

        Raises:
            ConfigError: there is none, or it is of another net.
        """
        load_initial(net, place)

    def make_optimizer(self, net: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
        """Return the optimiser of a net that is on its device.

        A group of parameters may have a `schedule` of its own, and `clip: False` to be left out of the
        gradient's norm.
        """
        return make_optimizer([{"params": [*net.parameters()]}], recipe.optimizer)

    @abstractmethod
    def make_batch(self, step: int, group: WorkerGroup) -> Any:
        """Return a worker's share of the batch of a step.

        Args:
            step: from 0; steps follow each other, but for a resumed training's first.
            group: the workers; their shares in the order of their ranks are the batch of a single worker.
        """

    @abstractmethod
    def compute_loss(self, net: nn.Module, batch: Any, draw: StepDraw, group: WorkerGroup) -> StepLoss:
        """Return a worker's share of the loss of a batch.

        Args:
            net: under training.
            batch: of `make_batch`, or a part of it.
            draw: the random streams of the step.
            group: the workers.
        """

    def split_batch(self, batch: Any, count: int) -> Sequence[Any]:
        """Return equal parts of a batch, for `accumulate` and gradient caching.

        Args:
            batch: a tensor, an array or a list of samples, or a tuple or dict of them.
            count: of parts.
        """
        return split_samples(batch, count)

    def validate(self, net: nn.Module) -> Mapping[str, Scores]:  # noqa: ARG002 - none by default
        """Return member -> scores on what is held out; empty if there is nothing to validate on."""
        return {}

    def rank(self, scores: Scores) -> float:
        """Return what is best when it is highest; the first score if not overridden."""
        return next(iter(scores.values()))

    def list_members(self, net: nn.Module) -> Mapping[str, Mapping[str, Tensor]]:
        """Return member -> its weights by name, as views of the net's; the best of each are kept."""
        return {"": net.state_dict()}

    def export(self, net: nn.Module, folder: Path, result: TrainingResult) -> Sequence[Any]:
        """Write what was trained and return its cards; the files of a card lie in `folder/NAME`.

        Args:
            net: with the weights to keep, on its device.
            folder: that exists and is empty.
            result: of the training.
        """
        own = folder / self.context.name
        own.mkdir()
        self.save(net, own)
        return [self.make_card(net, own, result)]

    def save(self, net: nn.Module, folder: Path) -> None:
        """Write a net's weights and whatever is needed to load them."""
        from safetensors.torch import save_model

        save_model(net, str(folder / "weights.safetensors"))

    def make_card(self, net: nn.Module, folder: Path, result: TrainingResult) -> ModelCard:
        """Return the card of a net that `save` has written.

        Args:
            net: on any device.
            folder: of its files.
            result: of the training.
        """
        member = result.members.get("")
        return ModelCard(
            name=folder.name,
            task=self.describe(),
            recipe=self.context.recipe,
            steps=result.steps,
            seconds=round(result.seconds, 1),
            parameters=sum(weight.numel() for weight in net.parameters()),
            loss=result.loss if math.isfinite(result.loss) else None,
            scores=_keep_finite(member.scores) if member else {},
            curve=tuple(round(value, 4) for value in member.curve if math.isfinite(value)) if member else (),
            files=hash_files(folder),
        )

    def describe(self) -> dict[str, Any]:
        """Return the task's class and its settings, as JSON: a checkpoint is of one description."""
        own = type(self)
        keys: list[str] = [each.name for each in fields(self) if each.init] if is_dataclass(self) else []
        settings = {key: _describe_value(getattr(self, key)) for key in keys}
        described = {"task": f"{own.__module__}:{own.__qualname__}", **settings}
        if not own.__module__.startswith("pipelines."):
            # Another class of this name is another training.
            described["code"] = hashlib.sha256(Path(inspect.getfile(own)).read_bytes()).hexdigest()
        return described


def _keep_finite(scores: Scores) -> dict[str, float]:
    """Return the scores that JSON can hold."""
    return {name: value for name, value in scores.items() if math.isfinite(value)}


def _describe_value(value: Any) -> Any:
    if hasattr(value, "describe"):
        return value.describe()
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json", by_alias=True)
    if isinstance(value, Mapping):
        return {key: _describe_value(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_describe_value(each) for each in value]
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
