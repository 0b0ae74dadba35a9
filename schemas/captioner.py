"""captioner.json: a prefix captioner, vectors of one or several families -> words of one GPT-2."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from schemas.names import PartName
from schemas.strict import StrictModel

_Width = Annotated[int, Field(ge=1, le=65_536)]


class Gpt2Shape(StrictModel):
    """The size of a GPT-2; the largest that was published has a width of 1,600 and 48 layers."""

    width: _Width
    layers: int = Field(ge=1, le=96)
    heads: int = Field(ge=1, le=256)
    positions: _Width = Field(description="of the prefix and the tokens together")
    vocabulary: int = Field(ge=2, le=1_000_000)
    end: int = Field(ge=0, description="the token that a caption ends with; it pads, too")

    @model_validator(mode="after")
    def _check_numbers(self) -> Gpt2Shape:
        if self.width % self.heads:
            raise ValueError(f"a width of {self.width} cannot be divided into {self.heads} heads")
        if self.end >= self.vocabulary:
            raise ValueError(f"token {self.end} is none of {self.vocabulary}")
        return self


class MapperShape(StrictModel):
    """The mapper of one family: its vectors -> the prefix, by two linear layers with a tanh between them."""

    dims: _Width = Field(description="of a vector")
    hidden: _Width
    norm: float = Field(
        1.0,
        gt=0,
        le=1e6,
        description="that every vector is given: 1, or of a net that read raw vectors about theirs",
    )
    space: str | None = Field(None, description="identity of the space of the vectors; null where unknown")


class CaptionerCard(StrictModel):
    """A captioner that was trained or converted."""

    gpt2: Gpt2Shape
    prefix: int = Field(10, ge=1, le=1_024, description="tokens that stand for a vector")
    mappers: dict[PartName, MapperShape] = Field(min_length=1, description="family -> its mapper")
    trained_on: Literal["texts", "media", "both", "unknown"] = Field(
        "unknown", description="the vectors that it was trained on"
    )
    stop: str | None = Field(None, description="what ends a caption that was trained without an end token")

    @model_validator(mode="after")
    def _check_room(self) -> CaptionerCard:
        if self.prefix >= self.gpt2.positions:
            raise ValueError(
                f"a prefix of {self.prefix} tokens leaves no room for words in {self.gpt2.positions}"
            )
        return self
