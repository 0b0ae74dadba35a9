"""What the parts of a file that people write have in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class StrictModel(BaseModel):
    """A model that people write: unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")
