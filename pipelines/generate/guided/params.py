"""The parameters of a guided diffusion."""

from __future__ import annotations

import base64
import math
from typing import Literal, Self

import numpy as np
from pydantic import Field, field_validator, model_validator

from pipelines.errors import ConfigError
from pipelines.models.respacing import check_respacing
from schemas.guidance import TargetKind
from schemas.strict import StrictModel


class GuidanceTarget(StrictModel):
    """What a picture is led to, or away from.

    Attributes:
        kind: the origin of the vector.
        name: the text, or the file's name.
        weight: negative repels.
        vector: in the guide's space, float16 in base64.
    """

    kind: TargetKind
    name: str
    weight: float = Field(1.0, ge=-1e6, le=1e6)
    vector: str

    @field_validator("vector")
    @classmethod
    def _check_vector(cls, text: str) -> str:
        try:
            vector_D = decode_vector(text)
        except ValueError as error:
            raise ValueError("it is no vector of float16 in base64; leave it to --prompt") from error
        if not len(vector_D) or not np.isfinite(vector_D).all() or not vector_D.any():
            raise ValueError("it has no direction; give another picture, sound or text")
        return text


class GuidedParams(StrictModel):
    """Parameters of a guided diffusion; what is null is what suits the net (guidance.json).

    Attributes:
        respacing: the steps, as guided-diffusion names them: 50, ddim50, 10,15,20.
        method: of a step.
        eta: share of DDPM's noise in a step of DDIM.
        scale: of the distances in the loss; 0 leads nowhere.
        smoothness: of the total variation in the loss.
        saturation: of what is out of range in the loss.
        keep: of the distance to the init picture, blurred, in the loss.
        skip: steps that a picture which begins with the init picture leaves out; half of all if null.
        cutouts: of each picture, each step.
        least: side of the smallest, as a share of the picture's.
        power: of a number in 0..1 that sides are drawn by.
        weight: of the vector of the row, beside the prompts.
        origin: of the vector of the row.
        calibrated: whether distances of texts, sounds and pictures are made alike; if null, where they
            were measured.
        prompts: that all pictures are led by.
    """

    respacing: str | None = Field(None, max_length=60)
    method: Literal["ddpm", "ddim"] = "ddpm"
    eta: float = Field(0.0, ge=0, le=1)
    scale: float | None = Field(None, ge=0, le=1e7)
    smoothness: float | None = Field(None, ge=0, le=1e7)
    saturation: float | None = Field(None, ge=0, le=1e7)
    keep: float = Field(0.0, ge=0, le=1e7)
    skip: int | None = Field(None, ge=0)
    cutouts: int = Field(8, ge=1, le=256)
    least: float = Field(0.6, gt=0, le=1)
    power: float = Field(1.0, gt=0, le=100)
    weight: float = Field(1.0, ge=-1e6, le=1e6)
    origin: TargetKind = "image"
    calibrated: bool | None = None
    prompts: tuple[GuidanceTarget, ...] = Field((), max_length=64)

    @field_validator("respacing", mode="before")
    @classmethod
    def _write_number(cls, value: object) -> object:
        # 50 of a file or of --param is a number.
        text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
        if isinstance(text, str):
            try:
                check_respacing(text)
            except ConfigError as error:
                raise ValueError(str(error)) from error
        return text

    @model_validator(mode="after")
    def _check_weights(self) -> Self:
        if self.prompts and not any(each.weight for each in self.prompts) and not self.weight:
            raise ValueError("all weights are 0, so nothing leads the picture; give one that is not")
        return self


def encode_vector(vector_D: np.ndarray) -> str:
    """Return a vector as float16 in base64."""
    return base64.b64encode(vector_D.astype("<f2").tobytes()).decode()


def decode_vector(text: str) -> np.ndarray:
    """Return the unit vector of `encode_vector`, float32.

    Raises:
        ValueError: it is none.
    """
    vector_D = np.frombuffer(base64.b64decode(text, validate=True), "<f2").astype(np.float32)
    norm = math.hypot(*vector_D.tolist())
    return vector_D / norm if norm > 0 and math.isfinite(norm) else vector_D


def parse_weighted(text: str) -> tuple[str, float]:
    """Return what is before the last colon and the weight after it, if that is a number; else weight 1.

    Args:
        text: as in `a red bell:0.5`, `https://host/a.wav`, `12:30`.
    """
    before, colon, after = text.rpartition(":")
    try:
        weight = float(after)
    except ValueError:
        return text, 1.0
    if not colon or not before or not math.isfinite(weight):
        return text, 1.0
    return before, weight
