"""The parameters of AudioLDM's diffusion."""

from __future__ import annotations

from pydantic import Field

from schemas.strict import StrictModel


class AudioLdmParams(StrictModel):
    """Parameters of a diffusion sampler.

    Attributes:
        length_s: of the sound.
        steps: of the diffusion: 10 for a draft, 200 in AudioLDM's paper.
        guidance: scale of classifier-free guidance; at 1 and less there is none, in half the time.
    """

    length_s: float = Field(5.0, gt=0, le=600)
    steps: int = Field(50, ge=1, le=1_000)
    guidance: float = Field(2.5, ge=0, le=100)
