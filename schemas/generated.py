"""generated/NAME/: sounds, pictures or texts that were generated, with their prompts, models and scores.

wanted.json             the request; another request needs another NAME
prompts/NNNNN.parquet   the prompt of each sample of a shard (`make_prompts_schema`)
NNNNN.tar               KEY.flac, KEY.png or KEY.txt (the suffix says the medium), and KEY.json: the row
NNNNN.parquet           GENERATED, every prompt of the shard
card.json               written last
scores.json             of `--score`

Tables, requests and cards of `generated/1`, which were of sounds alone, are read by `schemas.generated_1`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

import pyarrow as pa
from pydantic import Field, field_validator, model_validator

from schemas import generated_1
from schemas.encoders import Name
from schemas.families import Column
from schemas.media import Medium
from schemas.names import Sha256
from schemas.space import Precision, Space
from schemas.strict import StrictModel
from schemas.vectors import encode_spaces

# A file's suffix, which says its medium; which media have which is said in pipelines/generate/media.py.
SampleFormat = Literal["flac", "wav", "png", "txt"]
# row: of the dataset; picture and sound: external media; text: from the command line; prior: of a generator
# that nothing conditions.
PromptKind = Literal["row", "picture", "sound", "text", "prior"]

GENERATED = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("id", pa.string(), nullable=False),  # the seeds of a sample are derived from it
        pa.field("source_key", pa.string()),  # of the row; of an external picture: in pictures/
        pa.field("prompt", pa.string(), nullable=False),
        pa.field("caption", pa.string(), nullable=False),
        pa.field("url", pa.string(), nullable=False),
        pa.field("outcome", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("chosen", pa.int16()),  # index of the candidate that was kept
        pa.field("candidate_seed", pa.int64()),  # of the one that was kept
        pa.field("score", pa.float32()),  # its cosine to the vector that conditioned it; null without a judge
        pa.field("candidate_scores", pa.list_(pa.float32())),
        pa.field("medium", pa.string(), nullable=False),
        pa.field("length_s", pa.float64()),  # of a sound
        pa.field("size", pa.list_(pa.int32(), 2)),  # of a picture: width and height
        pa.field("sha256", pa.string()),  # of the file
        pa.field("translator", pa.string()),  # null where none was needed
        pa.field("translator_sha256", pa.string()),
        pa.field("generator", pa.string(), nullable=False),
        pa.field("generator_sha256", pa.string(), nullable=False),
        pa.field("seed", pa.int64(), nullable=False),
        pa.field("params", pa.string(), nullable=False),  # JSON: the generator's own
    ],
    metadata={"table": "generated/2"},
)


def make_prompts_schema(spaces: Mapping[Column, Space]) -> pa.Schema:
    """Return the schema of prompts: captions, and the vectors of some columns.

    Args:
        spaces: the columns and their spaces; empty if captions alone, or nothing, condition the generator.
    """
    vectors = [pa.field(column, pa.list_(pa.float16(), space.dims)) for column, space in spaces.items()]
    fields = [GENERATED.field(name) for name in ("key", "id", "source_key", "prompt", "caption", "url")]
    fields += [GENERATED.field(name) for name in ("outcome", "reason")]
    return pa.schema([*fields, *vectors], metadata=encode_spaces(spaces) | {b"table": b"prompts/1"})


class PromptCounts(StrictModel):
    """prompts/shards.json: written when all prompts are."""

    rows: tuple[Annotated[int, Field(ge=1, le=10_000)], ...] = Field(description="prompts of each shard")


class GenerationSettings(StrictModel):
    """Choices of a generation that every generator has; the others are the generator's own params."""

    seed: int = Field(0, ge=0, lt=2**63)
    candidates: int = Field(1, ge=1, le=64, description="made of each prompt; the nearest to it is kept")
    format: SampleFormat | None = Field(None, description="suffix of the files; null: the medium's first")
    shard_samples: int = Field(100, ge=1, le=10_000, description="samples of a shard, the unit of retry")


class ModelRef(StrictModel):
    """A model that a sample was generated with."""

    name: str
    weights_sha256: str


class GeneratorInfo(ModelRef):
    """A generator, with the settings that decide the last digits of its samples.

    What a request needs of it, but no sample depends on, is not stored.
    """

    medium: Medium
    reads: tuple[str, ...] = Field(description="what conditions it: columns, caption; nothing for a prior")
    precision: Precision = "fp32"
    batch_rows: int = Field(1, ge=1)
    rate_hz: int | None = Field(None, description="of its sounds")
    licence: str | None = Field(None, description="as its card says; null where it says none")
    text_sha256: str | None = Field(
        None, exclude=True, description="fingerprint of its own text tower; null where it has none"
    )
    spaces: tuple[tuple[str, str], ...] = Field(
        (), exclude=True, description="columns whose towers it reads with, and the space of each"
    )
    alternatives: tuple[Column, ...] = Field(
        (), exclude=True, description="columns that it can read in place of the one in reads"
    )
    advice: str = Field("", exclude=True, description="how to get vectors of its space, in half a sentence")

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns of vectors among what it reads."""
        return tuple(name for name in self.reads if name != "caption")


class PromptSource(StrictModel):
    """The sources of prompts: rows of a version, or external media and texts."""

    column: Column | None = Field(None, description="that the kind of the rows has; null without rows")
    keys: tuple[str, ...] = ()
    limit: int | None = Field(None, ge=1)
    held_out: bool = Field(False, description="only rows that the translator's split tests on")
    texts: tuple[str, ...] = ()
    sounds: tuple[str, ...] = Field((), description="name and sha256 of sound files")
    pictures: Sha256 | None = Field(None, description="sha256 of the list of them")


class GenerationManifest(StrictModel):
    """wanted.json: the request of a NAME, which never changes."""

    name: Name
    set: Name
    version: int = Field(description="of the dataset when it was asked for first")
    asked: PromptSource
    via: str = Field(description="a translator's name, captions, or none")
    translator: ModelRef | None
    generator: GeneratorInfo
    settings: GenerationSettings
    params: dict[str, Any] = Field({}, description="of the generator, which has a model of its own for them")

    @model_validator(mode="before")
    @classmethod
    def _convert(cls, content: Any) -> Any:
        return generated_1.convert_manifest(content)

    @field_validator("generator")
    @classmethod
    def _keep_stored(cls, info: GeneratorInfo) -> GeneratorInfo:
        return GeneratorInfo.model_validate(info.model_dump())

    @model_validator(mode="after")
    def _check_format(self) -> Self:
        if self.settings.format is None:
            raise ValueError("settings.format is null; the request decides it")
        return self


class GeneratedCard(StrictModel):
    """card.json: written when all samples of a NAME are complete."""

    wanted: GenerationManifest
    spaces: tuple[Space, ...] = Field(description="of the vectors that conditioned it; empty: none did")
    gate_cosine: float | None = Field(
        description="mean cosine of 100 captions: the generator's text tower to the dataset's"
    )
    judged_by: Space | None = Field(description="the encoder that scored candidates; null if none could")
    shards: int
    samples: int
    length_s: float | None = Field(description="of all sounds together; null for other media")
    outcomes: dict[str, int]
    mean_score: float | None
    samples_sha256: str = Field(description="over the sha256 of all samples, in the order of their keys")

    @model_validator(mode="before")
    @classmethod
    def _convert(cls, content: Any) -> Any:
        return generated_1.convert_card(content)


class FrechetDistance(StrictModel):
    """The Fréchet distance between the Gaussians of two sets of vectors."""

    distance: float = Field(description="squared, as FAD and FD are given")
    interval: tuple[float, float] = Field(description="95 %, bootstrapped over samples")
    dims: int
    too_few: bool = Field(
        description="whether a set has fewer than ten samples a dimension: its size decides the distance"
    )
    infinity: float = Field(description="of endless sets, by a line over 1 / size")
    floor: tuple[float, float] | None = Field(
        description="95 % of what random halves of the real set are apart; null below four real samples"
    )


class SetScores(StrictModel):
    """Scores of a set of generated samples against real ones, with the settings that they depend on."""

    made: int = Field(description="generated samples")
    real: int = Field(description="samples that they are compared with")
    pairs: int = Field(description="of one row, for the KL divergences")
    frechet: FrechetDistance
    kernel: float = Field(description="KAD of sounds, times 100; KID of other media")
    density: float | None = Field(description="null with no more real samples than neighbours, 5")
    coverage: float | None
    kl_softmax: float | None = Field(description="mean KL(real || made) of class probabilities, in nats")
    kl_sigmoid: float | None = Field(description="audioldm_eval's, of independent classes")
    inception_score: float | None = Field(description="1 to the number of classes, of the samples alone")
    splits: int | None = Field(description="of the inception score")


class ClassifierScores(StrictModel):
    """Accuracy of a classifier on generated samples whose class is known."""

    classes: tuple[str, ...]
    samples: int = Field(description="whose class is known")
    accuracy: float | None = Field(description="share whose best class is theirs")
    of_class: dict[str, tuple[int, int]] = Field(description="class -> right, all")


class SplitCounts(StrictModel):
    """The rows of a dataset that samples were made of, by the split of their translator."""

    held_out: int = Field(description="tested on: nothing was trained on them or chosen by them")
    not_held_out: int


class JudgeScores(StrictModel):
    """What one judge finds in generated samples."""

    judge: str
    fingerprint: str = Field(description="sha256 of its weights")
    independent: bool = Field(description="whether it had no part in conditioning or choosing the samples")
    sampling_rate_hz: int | None = Field(None, description="that it hears; null but for sounds")
    resampler: str | None = None
    classified: ClassifierScores | None = Field(None, description="null if it does not know the classes")
    against_real: SetScores | None = Field(None, description="null without two real samples of the rows")
    text_score: float | None = Field(
        None, description="mean cosine of sample and caption; null without a text tower or captions"
    )
    undecodable: int = Field(0, description="samples that it could not decode")


class GeneratedScores(StrictModel):
    """scores.json."""

    rows: SplitCounts | None = Field(None, description="that were scored; null where samples are of no rows")
    judges: tuple[JudgeScores, ...] = Field(description="the dataset's own encoder first, where it has one")
