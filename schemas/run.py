"""The record of a job: runs/RUN/run.json. It is no part of the dataset: times and hosts are allowed here."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from schemas.strict import StrictModel


class RunRecord(StrictModel):
    """Which job ran when and where, and with which result."""

    run: str = Field(description="name of the folder: the time of its start")
    verb: str
    arguments: list[str] = Field(description="as given, secrets redacted")
    versions: dict[str, str] = Field(description="library -> version")
    host: str
    started: str = Field(description="ISO 8601, UTC")
    ended: str
    outcome: Literal["ok", "failed", "interrupted"]
    error: str = Field("", description="the error message, if it failed")
    rows: int = Field(0, ge=0, description="processed")
    outcomes: dict[str, int] = Field({}, description="of those rows")
    wall_s: float = Field(ge=0)
    seconds: dict[str, float] = Field({}, description="phase -> seconds, summed over workers and threads")


class RunTimes(StrictModel):
    """What a report reads of a run's record."""

    model_config = ConfigDict(extra="ignore")

    rows: int = Field(0, ge=0, lt=2**62)
    wall_s: float = Field(ge=0)
    seconds: dict[str, Annotated[float, Field(ge=0)]] = Field({})
