"""generated/NAME/: sounds that were generated from vectors, with their prompts, models and scores.

wanted.json             the request; another request needs another NAME
prompts/NNNNN.parquet   the prompt of each sound of a shard (`make_prompts_schema`)
NNNNN.tar               KEY.flac or KEY.wav, and KEY.json: the row of the table
NNNNN.parquet           GENERATED, every prompt of the shard
card.json               written last
scores.json             of `--score`
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from schemas.encoders import Name
from schemas.families import Column
from schemas.space import Precision, Space
from schemas.strict import StrictModel
from schemas.vectors import encode_spaces

SoundFormat = Literal["flac", "wav"]
# row: of the dataset; picture and sound: external media; text: from the command line.
PromptKind = Literal["row", "picture", "sound", "text"]

GENERATED = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("id", pa.string(), nullable=False),  # the seeds of a sound are derived from it
        pa.field("source_key", pa.string()),  # of the row; of an external picture: in pictures/
        pa.field("prompt", pa.string(), nullable=False),
        pa.field("caption", pa.string(), nullable=False),
        pa.field("url", pa.string(), nullable=False),
        pa.field("outcome", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("chosen", pa.int16()),  # index of the candidate that was kept
        pa.field("candidate_seed", pa.int64()),  # of the one that was kept
        pa.field("score", pa.float32()),  # its CLAP audio cosine to the vector; null without a judge
        pa.field("candidate_scores", pa.list_(pa.float32())),
        pa.field("length_s", pa.float64()),
        pa.field("sha256", pa.string()),  # of the sound file
        pa.field("translator", pa.string()),  # null where none was needed
        pa.field("translator_sha256", pa.string()),
        pa.field("generator", pa.string(), nullable=False),
        pa.field("generator_sha256", pa.string(), nullable=False),
        pa.field("seed", pa.int64(), nullable=False),
        pa.field("steps", pa.int32(), nullable=False),
        pa.field("guidance", pa.float64(), nullable=False),
    ],
    metadata={"table": "generated/1"},
)


def make_prompts_schema(spaces: Mapping[Column, Space]) -> pa.Schema:
    """Return the schema of prompts: captions, or the vectors of one column.

    Args:
        spaces: the column and its space; empty if captions are passed to the generator itself.
    """
    vectors = [pa.field(column, pa.list_(pa.float16(), space.dims)) for column, space in spaces.items()]
    fields = [GENERATED.field(name) for name in ("key", "id", "source_key", "prompt", "caption", "url")]
    fields += [GENERATED.field(name) for name in ("outcome", "reason")]
    return pa.schema([*fields, *vectors], metadata=encode_spaces(spaces) | {b"table": b"prompts/1"})


class GenerationParams(StrictModel):
    """Parameters of a generation: all that decides the samples, beside the vectors and the weights."""

    length_s: float = Field(5.0, gt=0, le=600)
    steps: int = Field(50, ge=1, le=1_000)
    guidance: float = Field(2.5, ge=0, le=100)
    seed: int = Field(0, ge=0, lt=2**63)
    candidates: int = Field(1, ge=1, le=64, description="made of each vector; the nearest to it is kept")
    format: SoundFormat = "flac"
    shard_sounds: int = Field(100, ge=1, le=10_000, description="sounds of a shard, the unit of retry")


class ModelRef(StrictModel):
    """A model that a sound was generated with."""

    name: str
    weights_sha256: str


class GeneratorInfo(ModelRef):
    """A generator, with the settings that decide the last digits of its sounds."""

    precision: Precision
    batch_rows: int
    rate_hz: int
    licence: str | None = Field(None, description="as its card says; null where it says none")


class PromptSource(StrictModel):
    """The sources of prompts: rows of a version, or external media and texts."""

    column: Column | None = Field(None, description="whose vectors; null where captions are spoken")
    keys: tuple[str, ...] = ()
    limit: int | None = Field(None, ge=1)
    texts: tuple[str, ...] = ()
    sounds: tuple[str, ...] = Field((), description="name and sha256 of sound files")
    pictures: str | None = Field(None, description="sha256 of the list of them")


class GenerationManifest(StrictModel):
    """wanted.json: the request of a NAME, which never changes."""

    name: Name
    set: str
    version: int = Field(description="of the dataset when it was asked for first")
    asked: PromptSource
    via: str = Field(description="a translator's name, captions, or none")
    translator: ModelRef | None
    generator: GeneratorInfo
    making: GenerationParams


class GeneratedCard(BaseModel):
    """card.json: written when all sounds of a NAME are complete."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    wanted: GenerationManifest
    space: Space | None = Field(description="of the vectors; null where captions were spoken")
    gate_cosine: float | None = Field(
        description="mean cosine of 100 captions: the generator's text tower to the dataset's"
    )
    judged_by: Space | None = Field(description="the CLAP that scored the candidates; null if none could")
    shards: int
    sounds: int
    sounds_s: float = Field(description="all of them together, in seconds")
    outcomes: dict[str, int]
    mean_score: float | None
    sounds_sha256: str = Field(description="over the sha256 of all sounds, in the order of their keys")


class FrechetDistance(BaseModel):
    """The Fréchet distance between the Gaussians of two sets of vectors."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    distance: float = Field(description="squared, as FAD and FD are given")
    interval: tuple[float, float] = Field(description="95 %, bootstrapped over sounds")
    dims: int
    too_few: bool = Field(
        description="whether a set has no more sounds than dimensions: the distance is biased"
    )


class SoundScores(BaseModel):
    """Scores of a set of generated sounds, with the settings that they depend on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    embedder: str
    sampling_rate_hz: int = Field(description="that the embedder hears")
    resampler: str
    made: int = Field(description="generated sounds")
    real: int = Field(description="sounds that they are compared with")
    pairs: int = Field(description="of one name, for the KL divergences")
    frechet: FrechetDistance
    kl_softmax: float | None = Field(description="mean KL(real || made) of class probabilities, in nats")
    kl_sigmoid: float | None = Field(description="audioldm_eval's, of independent classes")
    inception_score: float = Field(description="1 to the number of classes, of the generated sounds alone")


class ClassifierScores(BaseModel):
    """Accuracy of a classifier on generated sounds whose class is known."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    classifier: str
    sampling_rate_hz: int
    resampler: str
    classes: tuple[str, ...]
    sounds: int = Field(description="whose class is known")
    accuracy: float | None = Field(description="share whose best class is theirs")
    of_class: dict[str, tuple[int, int]] = Field(description="class -> right, all")


class GeneratedScores(BaseModel):
    """scores.json."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    heard: ClassifierScores
    against_real: SoundScores | None = Field(description="null without two real sounds of the same rows")
    clap_score: float | None = Field(
        description="mean cosine of sound and caption, by a CLAP that had no part in choosing"
    )
    clap_score_by: Space | None
