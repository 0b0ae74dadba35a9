"""generated/NAME/scores.json: what generated sounds are worth against real ones."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Frechet(BaseModel):
    """The Fréchet distance between the Gaussians of two sets of vectors."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    distance: float = Field(description="squared, as FAD and FD are given")
    interval: tuple[float, float] = Field(description="95 %, bootstrapped over sounds")
    dims: int
    too_few: bool = Field(
        description="whether a set has no more sounds than dimensions: the distance is biased"
    )


class SoundScores(BaseModel):
    """Scores of a set of generated sounds, with all that decides them beside the sounds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    embedder: str
    sampling_rate_hz: int = Field(description="that the embedder hears")
    resampler: str
    made: int = Field(description="generated sounds")
    real: int = Field(description="sounds that they are compared with")
    pairs: int = Field(description="of one name, for the KL divergences")
    frechet: Frechet
    kl_softmax: float | None = Field(description="mean KL(real || made) of class probabilities, in nats")
    kl_sigmoid: float | None = Field(description="audioldm_eval's, of independent classes")
    inception_score: float = Field(description="1 to the number of classes, of the generated sounds alone")
