"""models/NAME/card.json: what was trained, on what, how, and how well it does."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pydantic import Field

from schemas.names import PartName, RelativePath, Sha256
from schemas.recipe import Recipe
from schemas.strict import StrictModel
from schemas.times import IsoTime
from schemas.translator_card import RetrievalScores


def _format_now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


class ModelCard(StrictModel):
    """The card of a model, written after its files."""

    name: PartName
    task: dict[str, Any] = Field(description="its class, under `task`, and its settings")
    recipe: Recipe
    steps: int = Field(description="that were taken")
    seconds: float = Field(description="of training, over all restarts")
    parameters: int
    loss: float | None = Field(description="of the last step; null where it is no number")
    scores: dict[str, float] = Field({}, description="on what was held out, of these weights")
    curve: tuple[float, ...] = Field((), description="the first score of every validation")
    retrieval: RetrievalScores | None = Field(
        None, description="of a tower, on held-out pairs, as a translator has them"
    )
    weights: str | None = Field(None, description="that a part of it began with; null for none")
    files: dict[RelativePath, Sha256] = Field(description="name -> sha256, of all files beside the card")
    licence: str | None = Field(None, description="of the data's rows, as their lists say; null for none")
    created: IsoTime = Field(default_factory=_format_now, description="UTC, ISO 8601")
