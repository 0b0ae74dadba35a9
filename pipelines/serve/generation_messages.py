"""Messages between the page and the generator: a request, progress, the sample."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self
from uuid import uuid4

from pydantic import BaseModel, Field, model_validator

from pipelines.generate.generator import CAPTION, ChosenGenerator
from schemas.families import FAMILIES, get_family, get_modality
from schemas.generated import GeneratorInfo, ModelRef
from schemas.media import Medium
from schemas.strict import StrictModel

SHORTEST_S, LONGEST_S = 2.5, 10.0
MOST_CHARS = 1_000
_SLIDER_STEPS = 20
# The largest seed that JavaScript represents exactly.
MOST_SEED = 2**53 - 1


class PageRequest(StrictModel):
    """A request for a sample from a picture, a sound, words, or, of a prior, from nothing."""

    picture: bytes | None = None
    sound: bytes | None = None
    file: str = Field("", max_length=1_000, description="the name of the picture's or sound's file")
    text: str | None = Field(None, min_length=1, max_length=MOST_CHARS)
    via: str | None = Field(None, description="the translator that a picture takes")
    length_s: float | None = Field(
        None, ge=SHORTEST_S, le=LONGEST_S, description="of a sound; null: as the service's params say"
    )
    params: Mapping[str, float] = Field({}, description="of the generator, as the form's sliders are set")
    seed: int = Field(0, ge=0, le=MOST_SEED)
    job: str = Field(default_factory=lambda: uuid4().hex, max_length=64)

    @model_validator(mode="after")
    def _check_one_source(self) -> Self:
        if self.picture is not None and (self.text is not None or self.sound is not None):
            raise ValueError("it is made of a picture, or of words and a sound; give one of the two")
        return self


@dataclass(frozen=True, slots=True)
class FormSlider:
    """A parameter that the page offers as a slider: its field says `json_schema_extra={"slider": [0, 2]}`.

    Attributes:
        name: of the parameter.
        low: the least that the page offers.
        high: the most.
        step: between values.
        value: that is set when the page is opened.
    """

    name: str
    low: float
    high: float
    step: float
    value: float

    @property
    def label(self) -> str:
        """The name in words."""
        return self.name.replace("_", " ").capitalize()

    def convert(self, value: float) -> float:
        """Return the value as its parameter takes it: a count, such as of steps, is whole."""
        # A page says 25.4 where a number is typed between two notches.
        return round(value) if isinstance(self.value, int) and math.isfinite(value) else value


@dataclass(frozen=True, slots=True)
class GenerationForm:
    """What a page asks for, as the generator reads it.

    Attributes:
        medium: that is made.
        takes_pictures: whether a picture can lead to it.
        takes_words: whether words can.
        length_s: that is set when the page is opened; None where its params have no length.
        takes_sounds: whether a sound can, with words beside it where it takes words, too.
        sliders: of its other parameters.
    """

    medium: Medium
    takes_pictures: bool
    takes_words: bool
    length_s: float | None
    takes_sounds: bool = False
    sliders: tuple[FormSlider, ...] = ()

    @classmethod
    def from_generator(cls, generator: ChosenGenerator, params: BaseModel) -> Self:
        """Return the form of a generator with the params that it is served with."""
        info, length_s = generator.info, getattr(params, "length_s", None)
        families = [FAMILIES.get(get_family(column), ()) for column in info.columns]
        has_texts = info.text_sha256 is not None or (len(families) == 1 and "text" in families[0])
        # Sounds from sounds are made by command: the page leads from one medium to another.
        hears = info.medium != "sound" and [get_modality(each) for each in info.columns] == ["audio"]
        return cls(
            info.medium,
            takes_pictures=len(info.columns) == 1 and not (hears and info.medium == "picture"),
            takes_words=CAPTION in info.reads or (bool(info.columns) and has_texts),
            length_s=None if length_s is None else min(max(length_s, SHORTEST_S), LONGEST_S),
            takes_sounds=hears,
            sliders=tuple(_find_sliders(params)),
        )


def _find_sliders(params: BaseModel) -> Iterator[FormSlider]:
    for name, info in type(params).model_fields.items():
        extra = info.json_schema_extra
        limits = extra.get("slider") if isinstance(extra, dict) else None
        value = getattr(params, name)
        if isinstance(limits, list) and isinstance(value, int | float):
            low, high = (float(str(each)) for each in limits)
            step = 1.0 if isinstance(value, int) else (high - low) / _SLIDER_STEPS
            # What the service was started with is always among the choices.
            yield FormSlider(name, min(low, value), max(high, value), step, value)


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a generator can generate from.

    Attributes:
        generator: its description.
        translators: names of those that lead from pictures to the generator's own space, best first.
        why_not: one sentence on which translator to train if nothing leads there; else empty.
        is_direct: whether a picture's own vector conditions the generator, without a translator.
    """

    generator: GeneratorInfo
    translators: tuple[str, ...]
    why_not: str = ""
    is_direct: bool = False


@dataclass(frozen=True, slots=True)
class QueuePosition:
    """The number of jobs before this one."""

    before: int


@dataclass(frozen=True, slots=True)
class StepCount:
    """The progress of the generator."""

    done: int
    total: int


@dataclass(frozen=True, slots=True)
class GeneratedSample:
    """A sample and all that determined it.

    Attributes:
        data: a file in the medium's usual format.
        length_s: of a sound; None for other media.
        generator: that generated it.
        translator: of the picture's vector; None without one.
        seed: of the request.
        params: of the generator.
        command: that generates the same bytes, with the placeholders ROOT and FILE.
    """

    data: bytes = field(repr=False)
    length_s: float | None
    generator: GeneratorInfo
    translator: ModelRef | None
    seed: int
    params: Mapping[str, Any]
    command: str


GenerationEvent = QueuePosition | StepCount | GeneratedSample
