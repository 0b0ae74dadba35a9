"""The record of a job: runs/RUN/run.json. It is no part of the dataset: times and hosts are allowed here."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class RunRecord(BaseModel):
    """What ran, when, where, and what came of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    run: str = Field(description="the folder's name: when it began")
    verb: str
    arguments: list[str] = Field(description="as given, secrets struck out")
    versions: dict[str, str] = Field(description="library -> version")
    host: str
    started: str = Field(description="ISO 8601, UTC")
    ended: str
    outcome: Literal["ok", "failed", "interrupted"]
    error: str = Field("", description="the sentence that was said, if it failed")
    rows: int = Field(0, ge=0, description="carried through")
    outcomes: dict[str, int] = Field({}, description="of those rows")
    wall_s: float = Field(ge=0)
    seconds: dict[str, float] = Field({}, description="word -> seconds, summed over workers and threads")
