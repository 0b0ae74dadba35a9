"""The parameters of Stable Diffusion, with and without sounds."""

from __future__ import annotations

from pydantic import Field

from schemas.strict import StrictModel


class StableDiffusionParams(StrictModel):
    """Parameters of a diffusion sampler.

    Attributes:
        steps: of the diffusion.
        guidance: scale of classifier-free guidance by words; at 1 and less there is none, in half the time.
    """

    steps: int = Field(25, ge=1, le=1_000, json_schema_extra={"slider": [5, 50]})
    guidance: float = Field(5.0, ge=0, le=100, json_schema_extra={"slider": [0, 10]})


class SoundPictureParams(StableDiffusionParams):
    """The same, and of sounds.

    Attributes:
        sound_guidance: scale of the guidance by sound, from the words alone to both; that of the words if
            None, in a third less time.
        words: whether the caption of a row, or the text beside a sound, is read.
        strength: factor of the attention to the sound; at 0 the picture is that of the words alone.
        foreground: factor of that of a level, of an adapter that has levels.
        background: as above.
        ambience: as above.
    """

    sound_guidance: float | None = Field(None, ge=0, le=100)
    words: bool = True
    strength: float = Field(1.0, ge=0, le=10, json_schema_extra={"slider": [0, 2]})
    foreground: float = Field(1.0, ge=0, le=10)
    background: float = Field(1.0, ge=0, le=10)
    ambience: float = Field(1.0, ge=0, le=10)
