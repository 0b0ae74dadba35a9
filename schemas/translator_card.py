"""translators/NAME/card.json: a translator's columns and spaces, its training data and its scores."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from schemas.families import Column
from schemas.space import Space
from schemas.training import Experiment, FitSettings, PairSource, SplitSettings


class RetrievalScores(BaseModel):
    """Scores of a translator on held-out pairs; intervals are 95 %, bootstrapped over pairs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pairs: int
    gallery: int = Field(description="targets among which each translated vector looks for its own")
    cosine: float = Field(description="mean, to the own target")
    cosine_interval: tuple[float, float]
    r1: float
    r1_interval: tuple[float, float]
    r5: float
    r10: float
    map10: float = Field(description="mean of 1 / rank where the rank is at most 10, else 0")
    class_r1: float | None = Field(None, description="share whose nearest target has their own label")
    class_accuracy: float | None = Field(
        None, description="share nearest to the mean target of their own label, of all labels"
    )
    hubness: float = Field(description="skewness of how often a target is among the nearest ten")
    gap: float = Field(description="length of mean translated minus mean target")
    effective_rank: float = Field(description="exp of the entropy of the translated vectors' spectrum")


class PairCounts(BaseModel):
    """Sizes of the splits, and dropped pairs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    train: int
    validation: int
    test: int
    dropped: dict[str, int] = Field(description="null, not_finite, leaked -> pairs")


class TranslatorCard(BaseModel):
    """The card beside a translator's weights. It refuses vectors of any space but `source_space`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    source: Column
    target: Column
    source_space: Space
    target_space: Space
    dataset: str
    version: int
    set: str
    data: tuple[PairSource, ...]
    split: SplitSettings
    counts: PairCounts
    cell: Experiment | None = Field(description="null for a baseline")
    fit: FitSettings | None
    method: str = Field(description="the net, or the closed form")
    epoch: int = Field(description="whose weights these are, from 1; 0 where nothing was iterated")
    parameters: int
    validation_cosine: float
    curve: tuple[float, ...] = Field((), description="validation cosine after each epoch")
    scores: RetrievalScores
    seconds: float = Field(description="of training, shared by the cells that were trained together")
    weights_sha256: str
    licence: str = Field(description="of the data's rows, as their lists say")
    created: str = Field(description="UTC, ISO 8601")
