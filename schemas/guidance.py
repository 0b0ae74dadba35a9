"""guidance.json: what was measured of a guide, so that the halves of a mixture are halves."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from schemas.strict import StrictModel

# The origin of a target's vector.
TargetKind = Literal["text", "sound", "image"]


class DistanceRange(StrictModel):
    """Mean distances of pictures to targets of one origin, by one guide."""

    noise: float = Field(description="of noise")
    matched: float = Field(description="of pictures to targets that are of them")

    @model_validator(mode="after")
    def _check_order(self) -> DistanceRange:
        if not self.noise > self.matched:
            raise ValueError("noise lies no farther from the targets than what they are of; measure again")
        return self

    @property
    def width(self) -> float:
        """What a picture can win."""
        return self.noise - self.matched


class GuidanceCard(StrictModel):
    """What suits a net and its guide."""

    scale: float = Field(2000.0, gt=0, le=1e7, description="of the distance in the loss")
    smoothness: float = Field(150.0, ge=0, le=1e7, description="of the total variation in the loss")
    saturation: float = Field(50.0, ge=0, le=1e7, description="of what is out of range in the loss")
    respacing: str = Field("1000", description="the steps, as guided-diffusion names them")
    space: str | None = Field(None, description="identity of the guide that was measured")
    ranges: dict[TargetKind, DistanceRange] = Field({}, description="origin of a target -> its distances")
    pictures: int = Field(0, description="that were measured")
