"""media/NNNNN_stats.json: the marker of a shard's media, as img2dataset writes it."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

from schemas.strict import StrictModel

# The last second of the last year that a date can have.
_LAST_S = 253_402_300_799


class MediaStats(StrictModel):
    """What is read of it."""

    model_config = ConfigDict(extra="ignore")

    end_time: float = Field(ge=0, le=_LAST_S, description="seconds since 1970")
    status_dict: dict[str, Annotated[int, Field(ge=0, lt=2**62)]] = Field(
        {}, description="success, or `outcome/reason`, or a message of img2dataset -> rows"
    )
