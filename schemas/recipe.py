"""How a net is trained: duration, optimiser, schedule, averages, precision, checkpoints. A value."""

from __future__ import annotations

import math
from typing import Any, Literal

from pydantic import Field, model_validator

from schemas.strict import StrictModel


class Schedule(StrictModel):
    """The learning rate as a factor of the optimiser's, over the steps of a training."""

    kind: Literal["constant", "cosine", "step"] = "constant"
    warmup_steps: int = Field(0, ge=0, description="over which the rate rises to its highest")
    warmup_share: float = Field(0.0, ge=0, lt=1, description="the same, as a share of all steps")
    hold: float = Field(0.0, ge=0, lt=1, description="share of the steps before a cosine begins to fall")
    at: tuple[float, ...] = Field((), description="shares of the steps at which `step` lowers the rate")
    gamma: float = Field(0.1, gt=0, lt=1, description="factor of each of these steps")
    midpoint: bool = Field(False, description="whether a step has the rate of its middle, not of its start")

    @model_validator(mode="after")
    def _check_kind(self) -> Schedule:
        if self.warmup_steps and self.warmup_share:
            raise ValueError("warmup_steps and warmup_share are two lengths of one warm-up; give one of them")
        if self.hold and self.kind != "cosine":
            raise ValueError(
                f"hold delays the fall of a cosine, and the schedule is {self.kind}; leave it out"
            )
        if bool(self.at) != (self.kind == "step"):
            raise ValueError("`at` and the kind `step` belong together; give both or neither")
        return self

    def compute_factor(self, step: int, steps: int) -> float:
        """Return the factor of the highest rate at a step.

        Args:
            step: from 0.
            steps: of the whole training.
        """
        start = step + 0.5 if self.midpoint else step
        warmup = self.warmup_steps or self.warmup_share * steps
        end = start if self.midpoint else step + 1
        factor = min(1.0, end / warmup) if warmup else 1.0
        if self.kind == "cosine":
            fallen = max(0.0, start / steps - self.hold) / (1 - self.hold)
            return factor * math.cos(fallen * math.pi / 2) ** 2
        if self.kind == "step":
            return float(factor * self.gamma ** sum(start / steps >= share for share in self.at))
        return factor

    def is_falling(self, step: int, steps: int) -> bool:
        """Return whether a step's rate is past the highest; from there on it depends on `steps`.

        Args:
            step: from 0.
            steps: of the whole training.
        """
        if self.kind == "cosine":
            return step >= self.hold * steps
        return any(step >= share * steps for share in self.at)


class OptimizerSettings(StrictModel):
    """The optimiser of a net; a task may give groups of its weights other rates and decays."""

    kind: Literal["adamw", "adam", "sgd"] = "adamw"
    lr: float = Field(1e-3, gt=0, description="the highest rate")
    betas: tuple[float, float] = Field(
        (0.9, 0.999), description="of adamw and adam; sgd's momentum is the first"
    )
    weight_decay: float = Field(0.0, ge=0, description="decoupled from the gradient in adamw")


class Recipe(StrictModel):
    """How a task is trained."""

    steps: int | None = Field(None, ge=1, description="optimiser steps; or give epochs")
    epochs: int | None = Field(None, ge=1, description="passes over the data; or give steps")
    batch: int = Field(64, ge=1, description="samples a step, over all workers together")
    seed: int = Field(0, ge=0, lt=2**63, description="of the first weights and the order")
    optimizer: OptimizerSettings = OptimizerSettings()
    schedule: Schedule = Schedule()
    ema: float | None = Field(
        None, gt=0, lt=1, description="decay of the average of the weights, which is then the result"
    )
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "fp32", description="of the products; weights stay fp32; auto: bf16 where it is native"
    )
    clip_norm: float | None = Field(None, gt=0, description="a gradient of a larger norm is scaled to it")
    accumulate: int = Field(1, ge=1, description="parts of a batch that are computed one after the other")
    checkpoint_every: int | None = Field(None, ge=1, description="steps; an epoch if not given, or 100 steps")
    validate_every: int | None = Field(
        None, ge=1, description="steps; an epoch if not given; always after the last"
    )
    select: Literal["best", "last"] = Field("best", description="best: the weights of the best validation")
    init_from: str | None = Field(
        None, description="weights to begin with: a folder, models/NAME of the root, or .safetensors"
    )
    log_every: int = Field(10, ge=1, description="steps between two points of the loss curve")

    @model_validator(mode="after")
    def _check_duration(self) -> Recipe:
        if (self.steps is None) == (self.epochs is None):
            raise ValueError("a recipe lasts either steps or epochs; give one of the two")
        if self.batch % self.accumulate:
            raise ValueError(f"a batch of {self.batch} cannot be divided into {self.accumulate} equal parts")
        return self

    def describe(self) -> dict[str, Any]:
        """Return what a checkpoint depends on: all but the duration, and what only observes or saves."""
        return self.model_dump(mode="json", exclude={"steps", "epochs", "checkpoint_every", "log_every"})
