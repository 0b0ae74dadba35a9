"""The best weights of every member of a task: each by its own validations."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pipelines.train.task import MemberResult, Scores, Task

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass
class _Best:
    rank: float = -math.inf
    epoch: int = 0
    scores: Scores = field(default_factory=dict)
    weights: dict[str, Tensor] = field(default_factory=dict)


class BestMembers:
    """Keeps the weights of each member whose validation was its highest.

    Args:
        keeps_weights: whether weights are kept; else only which epoch was the best.
    """

    def __init__(self, keeps_weights: bool) -> None:
        self._keeps_weights = keeps_weights
        self._best: dict[str, _Best] = {}
        self._last: dict[str, Scores] = {}
        self._curves: dict[str, list[float]] = {}

    def update(self, task: Task, net: nn.Module, scores: Mapping[str, Scores], epoch: int) -> None:
        """Take the validation of an epoch.

        Args:
            task: which ranks scores and lists members.
            net: that was validated.
            scores: of its members.
            epoch: from 1.
        """
        members = task.list_members(net) if self._keeps_weights else {}
        for member, own in scores.items():
            self._last[member] = own
            rank = task.rank(own)
            self._curves.setdefault(member, []).append(rank)
            best = self._best.setdefault(member, _Best())
            if rank > best.rank:
                best.rank, best.epoch, best.scores = rank, epoch, own
                for name, weight in members.get(member, {}).items():
                    kept = best.weights.setdefault(name, weight.detach().clone())
                    kept.copy_(weight.detach())

    def load(self, task: Task, net: nn.Module) -> None:
        """Give every member of a net its best weights; one without a validation keeps its last."""
        import torch

        members = task.list_members(net)
        with torch.no_grad():
            for member, best in self._best.items():
                for name, kept in best.weights.items():
                    members[member][name].copy_(kept)

    def make_results(self, epoch: int) -> dict[str, MemberResult]:
        """Return what was found for every member that was validated.

        Args:
            epoch: of the last weights.
        """
        return {
            member: MemberResult(
                epoch=best.epoch if self._keeps_weights else epoch,
                score=best.rank,
                scores=best.scores if self._keeps_weights else self._last[member],
                curve=self._curves[member],
            )
            for member, best in self._best.items()
        }

    def snapshot(self) -> dict[str, Any]:
        """Return the state for `restore`: numbers, texts and tensors alone."""
        best = {name: vars(each) | {"scores": dict(each.scores)} for name, each in self._best.items()}
        last = {name: dict(scores) for name, scores in self._last.items()}
        return {"best": best, "last": last, "curves": self._curves}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Resume from a state."""
        self._best = {name: _Best(**each) for name, each in state["best"].items()}
        self._last, self._curves = dict(state["last"]), dict(state["curves"])
