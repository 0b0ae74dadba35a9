"""The base of all models that users write as YAML."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class StrictModel(BaseModel):
    """A frozen model in which unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")
