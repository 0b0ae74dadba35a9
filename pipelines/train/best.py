"""The best weights of every member of a task: each by its own validations."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pipelines.train.curves import Curves
from pipelines.train.task import MemberResult, Scores, Task

if TYPE_CHECKING:
    from torch import Tensor, nn


class BestMembers:
    """Keeps the weights of each member whose validation ranked highest."""

    def __init__(self) -> None:
        self._ranks: dict[str, float] = {}
        self._weights: dict[str, dict[str, Tensor]] = {}

    def update(self, task: Task, net: nn.Module, scores: Mapping[str, Scores]) -> None:
        """Copy the weights of every member that is better than before.

        Args:
            task: which ranks scores and lists members.
            net: that was validated.
            scores: of its members.
        """
        members = task.list_members(net)
        for member, own in scores.items():
            if (rank := task.rank(own)) > self._ranks.get(member, -math.inf):
                self._ranks[member] = rank
                kept = self._weights.setdefault(member, {})
                for name, weight in members[member].items():
                    kept.setdefault(name, weight.detach().clone()).copy_(weight.detach())

    def load(self, task: Task, net: nn.Module) -> None:
        """Give every member of a net its best weights; one without a validation keeps its last."""
        import torch

        members = task.list_members(net)
        with torch.no_grad():
            for member, weights in self._weights.items():
                for name, kept in weights.items():
                    members[member][name].copy_(kept)

    def snapshot(self) -> dict[str, Any]:
        """Return the state for `restore`: numbers, texts and tensors alone."""
        return {"ranks": self._ranks, "weights": self._weights}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Resume from a state."""
        self._ranks, self._weights = dict(state["ranks"]), dict(state["weights"])


def make_results(task: Task, curves: Curves, select: str) -> dict[str, MemberResult]:
    """Return what the validations found for every member.

    Args:
        task: which ranks scores.
        curves: with the validations.
        select: best or last: whose weights the result has.
    """
    results: dict[str, MemberResult] = {}
    for member in dict.fromkeys(name for each in curves.validations for name in each["scores"]):
        own = [each for each in curves.validations if member in each["scores"]]
        ranks = [task.rank(each["scores"][member]) for each in own]
        # The first of the highest; NaN is never higher. Where all are NaN the last weights are kept.
        best = max(range(len(own)), key=lambda n: (not math.isnan(ranks[n]), ranks[n], -n))
        kept = own[best] if select == "best" and not math.isnan(ranks[best]) else own[-1]
        results[member] = MemberResult(kept["epoch"], ranks[best], kept["scores"][member], ranks)
    return results
