"""What the page asks of the generator, and what it is told until the sound is there."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self
from uuid import uuid4

from pydantic import Field, model_validator

from schemas.generated import GenerationParams, GeneratorInfo, ModelRef
from schemas.strict import StrictModel

SHORTEST_S, LONGEST_S = 2.5, 10.0
MOST_CHARS = 1_000
# A browser's numbers are whole up to here.
MOST_SEED = 2**53 - 1


class PageRequest(StrictModel):
    """One sound: of a picture or of words."""

    picture: bytes | None = None
    file: str = Field("", max_length=1_000, description="the name of the picture's file")
    text: str | None = Field(None, min_length=1, max_length=MOST_CHARS)
    via: str | None = Field(None, description="the translator that a picture takes")
    length_s: float = Field(5.0, ge=SHORTEST_S, le=LONGEST_S)
    seed: int = Field(0, ge=0, le=MOST_SEED)
    job: str = Field(default_factory=lambda: uuid4().hex, max_length=64)

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.picture is None) == (self.text is None):
            raise ValueError("a sound is made of a picture or of words; give one of the two")
        return self


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What sounds can be made of, and by what.

    Attributes:
        generator: that makes them.
        translators: names of those that lead from pictures to the generator's own CLAP, the best first.
        why_not: one sentence of which translator to train, where there is none; else empty.
    """

    generator: GeneratorInfo
    translators: tuple[str, ...]
    why_not: str = ""


@dataclass(frozen=True, slots=True)
class QueuePosition:
    """How many sounds are made before this one."""

    before: int


@dataclass(frozen=True, slots=True)
class StepCount:
    """How far the diffusion is."""

    done: int
    total: int


@dataclass(frozen=True, slots=True)
class GeneratedSound:
    """A sound and all that decided it.

    Attributes:
        data: a FLAC file.
        length_s: of it.
        generator: that made it.
        translator: that a picture took; None of words.
        making: length, steps, guidance and seed.
        command: that makes the same bytes; ROOT and FILE stand in it for what only its reader knows.
    """

    data: bytes = field(repr=False)
    length_s: float
    generator: GeneratorInfo
    translator: ModelRef | None
    making: GenerationParams
    command: str


GenerationEvent = QueuePosition | StepCount | GeneratedSound
