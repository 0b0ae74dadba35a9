"""models/NAME/joint_vae.json: a latent that sounds and small pictures share."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from schemas.strict import StrictModel

JOINT_FILE = "joint_vae.json"


class JointVaeNet(StrictModel):
    """Its layers."""

    side_px: int = Field(32, ge=16, le=256, multiple_of=8, description="of the square pictures")
    latent: int = Field(32, ge=1, le=512)
    widths: tuple[Annotated[int, Field(ge=8, le=1_024, multiple_of=8)], ...] = Field(
        (24, 48, 96), min_length=2, max_length=6, description="channels of the convolutions"
    )
    hidden: int = Field(128, ge=8, le=8_192, description="numbers between a sound's vector and the latent")

    @model_validator(mode="after")
    def _check_side(self) -> Self:
        if self.side_px % 2 ** len(self.widths):
            raise ValueError(
                f"{self.side_px} px cannot be halved {len(self.widths)} times; take fewer widths"
            )
        return self


class JointVaeCard(StrictModel):
    """joint_vae.json."""

    format: Literal["joint-vae/1"] = "joint-vae/1"
    net: JointVaeNet
    sound_dims: int = Field(ge=1, le=65_536, description="of the vectors of sounds")
    space: str = Field(max_length=200, description="identity of the space that these are of")
