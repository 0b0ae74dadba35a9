"""The optimisers of recipes, and what a trainer does to their groups: rates, gradient norms, sums."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from pipelines.train.distributed import WorkerGroup
from schemas.recipe import OptimizerSettings, Schedule

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn


def make_optimizer(groups: Sequence[dict[str, Any]], settings: OptimizerSettings) -> torch.optim.Optimizer:
    """Return the optimiser of groups of parameters.

    Args:
        groups: as torch takes them; a group's own `lr` and `weight_decay` replace those of the settings.
        settings: of the recipe.
    """
    import torch

    kinds: dict[str, Any] = {
        "adamw": torch.optim.AdamW,
        "adam": torch.optim.Adam,
        "sgd": torch.optim.SGD,
    }
    own: dict[str, Any] = (
        {"momentum": settings.betas[0]} if settings.kind == "sgd" else {"betas": settings.betas}
    )
    made: torch.optim.Optimizer = kinds[settings.kind](
        [*groups], lr=settings.lr, weight_decay=settings.weight_decay, **own
    )
    return made


def read_highest_rates(optimizer: torch.optim.Optimizer) -> list[float]:
    """Return the rate of each group as the optimiser was made with it."""
    return [group["lr"] for group in optimizer.param_groups]


def set_rates(
    optimizer: torch.optim.Optimizer, highest: Sequence[float], schedule: Schedule, step: int, steps: int
) -> None:
    """Set the rates of all groups for a step.

    Args:
        optimizer: whose groups may have a `schedule` of their own.
        highest: rate of each group.
        schedule: of all other groups.
        step: from 0.
        steps: of the whole training.
    """
    for group, rate in zip(optimizer.param_groups, highest, strict=True):
        own: Schedule = group.get("schedule", schedule)
        group["lr"] = rate * own.compute_factor(step, steps)


def reduce_gradients(optimizer: torch.optim.Optimizer, group: WorkerGroup) -> None:
    """Replace all gradients by their sums over the workers."""
    if group.size > 1:
        for parameters in optimizer.param_groups:
            for parameter in parameters["params"]:
                if parameter.grad is not None:
                    group.reduce_all(parameter.grad)


def clip_gradients(net: nn.Module, optimizer: torch.optim.Optimizer, norm: float) -> Tensor:
    """Scale the gradients to a norm that they exceed, and return the norm that they had.

    Args:
        net: whose parameters count.
        optimizer: whose groups with `clip: False` do not.
        norm: the largest.
    """
    import torch

    own: dict[int, Any] = {id(each): each for each in _list_clipped(optimizer)}
    # In the order of the net; an optimiser over other tensors, such as a flat buffer, has its own.
    clipped = [each for each in net.parameters() if id(each) in own] or [*own.values()]
    return torch.nn.utils.clip_grad_norm_(clipped, norm)


def _list_clipped(optimizer: torch.optim.Optimizer) -> Iterable[Tensor]:
    for group in optimizer.param_groups:
        if group.get("clip", True):
            yield from group["params"]


def snapshot_optimizer(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Return the state for `restore_optimizer`, without the schedules: a checkpoint has no classes."""
    state = optimizer.state_dict()
    groups = [
        {key: value for key, value in group.items() if key != "schedule"} for group in state["param_groups"]
    ]
    return {**state, "param_groups": groups}


def restore_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Resume from a state; the groups keep the schedules that they have."""
    schedules = [group.get("schedule") for group in optimizer.param_groups]
    optimizer.load_state_dict(state)
    for group, schedule in zip(optimizer.param_groups, schedules, strict=True):
        if schedule is not None:
            group["schedule"] = schedule
