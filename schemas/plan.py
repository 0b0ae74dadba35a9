"""plan/counts.json: the row counts of every list, and the marker that the plan is complete."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from pydantic import Field, model_validator

from schemas.strict import StrictModel


class RowCounts(StrictModel):
    """Row counts of one list or of all lists, before anything is fetched."""

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


class JoinedCounts(StrictModel):
    """The list whose captions the rows of another get."""

    list: str = Field(description="as the dataset's file names it")
    rows_read: int
    captions: int = Field(description="keys with a caption")
    repeated: int = Field(description="rows of a key that an earlier row has")
    no_caption: int = Field(description="rows whose caption is empty")
    rejects: int
    reject_reasons: dict[str, int] = Field(description="reason -> rejects")


def describe_most(reasons: Mapping[str, int]) -> str:
    """Return the commonest reason and its rows, as in: 7 of 9 are 'json'."""
    reason = min(reasons, key=lambda each: (-reasons[each], each))
    return f"{reasons[reason]:,} of {sum(reasons.values()):,} are {reason!r}"


class SourceCounts(RowCounts):
    """One list."""

    kind: str
    list: str = Field(description="as the dataset's file names it")
    languages: dict[str, int] = Field(description="as listed -> candidates; the most frequent ones")
    labels: dict[str, int] = Field(
        description="as listed -> candidates; those that are wanted, else the most frequent ones"
    )
    warnings: tuple[str, ...] = ()
    sha256: str | None = Field(
        None,
        exclude_if=lambda found: found is None,
        description="of a local list; of several files, that of a line a file as sha256sum has",
    )
    notes: tuple[str, ...] = Field((), exclude_if=lambda notes: not notes, description="how the list is read")
    joined: JoinedCounts | None = Field(None, exclude_if=lambda found: found is None)


class LaneCounts(StrictModel):
    """The shards of one kind and one lane."""

    kind: str
    lane: str
    rows: int
    shards: int


class HostCounts(StrictModel):
    """Rows and URLs of one host, or of all hosts that share a limit."""

    host: str = Field(description="or the pattern of the limit, such as *.wikimedia.org")
    rows: int
    urls: int = Field(description="different ones: each is asked for once")


class HostTable(StrictModel):
    """The hosts of the rows of a plan."""

    hosts: int = Field(0, description="that are asked; those that share a limit count as one")
    urls: int = Field(0, description="different ones, of all hosts")
    largest: tuple[HostCounts, ...] = Field((), description="the ten with most rows, and all with a limit")
    not_named: tuple[str, ...] = Field(
        (), exclude_if=lambda keys: not keys, description="keys of fetch.headers that fit no URL of the lists"
    )


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
        found = [warning for source in self.sources for warning in source.warnings]
        found += [
            f"fetch.headers: {key} fits no URL of the lists, so its headers are never sent; a host without a "
            "scheme is https at port 443, others are as in http://HOST:PORT"
            for key in self.asked.not_named
        ]
        return tuple(found)

    @property
    def notes(self) -> tuple[str, ...]:
        """How the lists are read, where nobody has said it."""
        return tuple(note for source in self.sources for note in source.notes)
