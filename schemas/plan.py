"""plan/counts.json: the row counts of every list, and the marker that the plan is complete."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class RowCounts(BaseModel):
    """Row counts of one list or of all lists, before anything is fetched."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows_read: int = Field(description="rows of the list, its header not counted")
    rejects: int
    duplicates: int
    candidates: int = Field(description="with the filtered ones")
    reject_reasons: dict[str, int] = Field(description="reason -> rejects")
    filtered: dict[str, int] = Field(description="reason -> candidates that the list itself rules out")

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        if self.rows_read != self.candidates + self.rejects + self.duplicates:
            raise ValueError(
                f"{self.rows_read} rows read are not {self.candidates} candidates"
                f" + {self.rejects} rejects + {self.duplicates} duplicates"
            )
        if self.rejects != sum(self.reject_reasons.values()):
            raise ValueError(f"{self.rejects} rejects are not the sum of {self.reject_reasons}")
        return self


class SourceCounts(RowCounts):
    """One list."""

    kind: str
    list: str = Field(description="as the dataset's file names it")
    languages: dict[str, int] = Field(description="as listed -> candidates; the most frequent ones")
    labels: dict[str, int] = Field(
        description="as listed -> candidates; those that are wanted, else the most frequent ones"
    )
    warnings: tuple[str, ...] = ()


class LaneCounts(BaseModel):
    """The shards of one kind and one lane."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str
    lane: str
    rows: int
    shards: int


class HostCounts(BaseModel):
    """Rows and URLs of one host, or of all hosts that share a limit."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = Field(description="or the pattern of the limit, such as *.wikimedia.org")
    rows: int
    urls: int = Field(description="different ones: each is asked for once")


class HostTable(BaseModel):
    """The hosts of the rows of a plan."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    hosts: int = Field(0, description="that are asked; those that share a limit count as one")
    urls: int = Field(0, description="different ones, of all hosts")
    largest: tuple[HostCounts, ...] = Field((), description="the ten with most rows, and all with a limit")


class PlanCounts(RowCounts):
    """Row counts of all lists, in total and list by list, and the shards of the plan."""

    sources: tuple[SourceCounts, ...]
    lanes: tuple[LaneCounts, ...]
    asked: HostTable = HostTable()

    @property
    def shards(self) -> int:
        """The number of shards of the plan."""
        return sum(lane.shards for lane in self.lanes)

    @property
    def keys(self) -> int:
        """The number of candidates with a key: all but the filtered ones."""
        return self.candidates - sum(self.filtered.values())

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a user should know before the rows are fetched."""
        return tuple(warning for source in self.sources for warning in source.warnings)
