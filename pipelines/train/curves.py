"""The curves of a training: losses and validations, as they are stored and shown."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pipelines.errors import ConfigError
from pipelines.train.task import Scores, StepLoss, Task


@dataclass
class Curves:
    """The curves so far.

    Attributes:
        losses: step, loss and its parts.
        validations: step, epoch, seconds of training up to it, and scores by member.
    """

    losses: list[dict[str, Any]] = field(default_factory=list)
    validations: list[dict[str, Any]] = field(default_factory=list)

    @property
    def loss(self) -> float:
        """The last loss; NaN before the first."""
        return float(self.losses[-1]["loss"]) if self.losses else math.nan

    def add_loss(self, step: int, loss: StepLoss) -> None:
        """Log the loss of a step."""
        parts = {name: value.tolist() for name, value in loss.parts.items()}
        self.losses.append({"step": step, "loss": float(loss.total), **({"parts": parts} if parts else {})})

    def add_validation(self, step: int, epoch: int, seconds: float, scores: Mapping[str, Scores]) -> None:
        """Log the scores of a validation."""
        described = {member: dict(own) for member, own in scores.items()}
        self.validations.append(
            {"step": step, "epoch": epoch, "seconds": round(seconds, 3), "scores": described}
        )


def check_scores(task: Task, scores: Any) -> dict[str, dict[str, float]]:
    """Return scores as plain numbers, which a checkpoint can hold.

    Raises:
        ConfigError: they are none.
    """
    try:
        checked = {
            str(member): {str(name): float(value) for name, value in own.items()}
            for member, own in scores.items()
        }
    except (AttributeError, TypeError, ValueError) as error:
        raise ConfigError(
            f"validate() of {type(task).__name__} returned {str(scores)[:100]}; return a mapping of members "
            'to their scores by name, as in {"": {"cosine": 0.5}}'
        ) from error
    if any(not own for own in checked.values()):
        raise ConfigError(
            f"validate() of {type(task).__name__} returned no score of a member; return one or more"
        )
    return checked
