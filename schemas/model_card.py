"""models/NAME/card.json: what was trained, on what, how, and how well it does."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from schemas.recipe import Recipe


def _format_now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


class ModelCard(BaseModel):
    """The card of a model, written after its files."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    task: dict[str, Any] = Field(description="its class, under `task`, and its settings")
    recipe: Recipe
    steps: int = Field(description="that were taken")
    seconds: float = Field(description="of training, over all restarts")
    parameters: int
    loss: float | None = Field(description="of the last step; null where it is no number")
    scores: dict[str, float] = Field({}, description="on what was held out, of these weights")
    curve: tuple[float, ...] = Field((), description="the first score of every validation")
    files: dict[str, str] = Field(description="name -> sha256, of all files beside the card")
    licence: str | None = Field(None, description="of the data's rows, as their lists say; null for none")
    created: str = Field(default_factory=_format_now, description="UTC, ISO 8601")
