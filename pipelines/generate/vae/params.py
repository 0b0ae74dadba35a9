"""The parameters of the generator `vae`."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pipelines.generate.flags import ParamFlag
from schemas.strict import StrictModel

# The standard deviations of latents that a row's neighbours lie within.
_SPREAD = 0.3
_Key = Annotated[str, Field(pattern=r"^\d{1,18}$")]


class VaeParams(StrictModel):
    """Which latents, and what is made of them.

    Attributes:
        length_s: of a sound: the segment of the VAE again and again. An interpolation is all its points.
        label: the class that it is told; without one each sample draws one, as often as it was in training.
        temperature: factor of the law that latents are drawn from; less is nearer to the mean.
        texture: share of the decoder's own noise that is added to its means.
        law: of the latents: `fitted` to those of training sounds, or the prior that the net has `learnt`.
        like: key of a row, around whose sound samples lie.
        spread: how far, in standard deviations of latents.
        between: keys of two rows, from whose one sound to the other a sample goes, in one file.
        points: sounds on that way, both ends among them.
        anchors: latents of these rows; the command fills them in.
    """

    length_s: float = Field(5.0, gt=0, le=600)
    label: str | None = Field(None, min_length=1, max_length=200)
    temperature: float = Field(1.0, ge=0, le=3)
    texture: float = Field(0.5, ge=0, le=2)
    law: Literal["fitted", "learnt"] = "fitted"
    like: _Key | None = None
    spread: float = Field(_SPREAD, ge=0, le=10)
    between: tuple[_Key, _Key] | None = None
    points: int = Field(5, ge=2, le=100)
    anchors: tuple[tuple[float, ...], ...] = ()

    @model_validator(mode="after")
    def _check_rows(self) -> Self:
        if self.like and self.between:
            raise ValueError("like and between are two places of the latents; give one of them")
        return self

    @property
    def keys(self) -> tuple[str, ...]:
        """Of the rows whose sounds are encoded."""
        return (self.like,) if self.like else self.between or ()


FLAGS = {
    "label": ParamFlag("--class", metavar="WORD", help="of a VAE: the class that it is told"),
    "like": ParamFlag("--like", metavar="KEY", help="of a VAE: around the sound of this row"),
    "between": ParamFlag(
        "--between", metavar="KEY", count=2, help="of a VAE: from one row's sound to another's, as one file"
    ),
}
