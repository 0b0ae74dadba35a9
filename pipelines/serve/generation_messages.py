"""Messages between the page and the generator: a request, progress, the sound."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self
from uuid import uuid4

from pydantic import Field, model_validator

from schemas.generated import GenerationParams, GeneratorInfo, ModelRef
from schemas.strict import StrictModel

SHORTEST_S, LONGEST_S = 2.5, 10.0
MOST_CHARS = 1_000
# The largest seed that JavaScript represents exactly.
MOST_SEED = 2**53 - 1


class PageRequest(StrictModel):
    """A request for a sound from a picture or from words."""

    picture: bytes | None = None
    file: str = Field("", max_length=1_000, description="the name of the picture's file")
    text: str | None = Field(None, min_length=1, max_length=MOST_CHARS)
    via: str | None = Field(None, description="the translator that a picture takes")
    length_s: float = Field(5.0, ge=SHORTEST_S, le=LONGEST_S)
    seed: int = Field(0, ge=0, le=MOST_SEED)
    job: str = Field(default_factory=lambda: uuid4().hex, max_length=64)

    @model_validator(mode="after")
    def _check_one_source(self) -> Self:
        if (self.picture is None) == (self.text is None):
            raise ValueError("a sound is made of a picture or of words; give one of the two")
        return self


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a generator can generate from.

    Attributes:
        generator: its description.
        translators: names of those that lead from pictures to the generator's own CLAP, best first.
        why_not: one sentence on which translator to train if there is none; else empty.
    """

    generator: GeneratorInfo
    translators: tuple[str, ...]
    why_not: str = ""


@dataclass(frozen=True, slots=True)
class QueuePosition:
    """The number of jobs before this one."""

    before: int


@dataclass(frozen=True, slots=True)
class StepCount:
    """The progress of the diffusion."""

    done: int
    total: int


@dataclass(frozen=True, slots=True)
class GeneratedSound:
    """A sound and all that determined it.

    Attributes:
        data: a FLAC file.
        length_s: of the sound.
        generator: that generated it.
        translator: of the picture's vector; None for words.
        params: length, steps, guidance and seed.
        command: that generates the same bytes, with the placeholders ROOT and FILE.
    """

    data: bytes = field(repr=False)
    length_s: float
    generator: GeneratorInfo
    translator: ModelRef | None
    params: GenerationParams
    command: str


GenerationEvent = QueuePosition | StepCount | GeneratedSound
