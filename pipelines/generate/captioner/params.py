"""The parameters of a captioner's beam search."""

from __future__ import annotations

from pydantic import Field

from schemas.strict import StrictModel


class CaptionerParams(StrictModel):
    """Parameters of a beam search.

    Attributes:
        beams: that are followed; 1 takes the likeliest token each time.
        tokens: of a caption at most.
        length_penalty: a caption's score is its log-probability over its length to this power.
    """

    beams: int = Field(5, ge=1, le=64)
    tokens: int = Field(67, ge=1, le=1_000)
    length_penalty: float = Field(1.0, ge=-5, le=5)
