"""From rows read to rows that came through: the whole dataset, and list by list."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from schemas.outcome import REASONS, STATUSES, Outcome, Status, as_img2dataset, sum_by_status
from schemas.plan import PlanCounts
from schemas.version import Version

_MEANING: dict[Status, str] = {
    "ok": "arrived, and passed every filter",
    "dead": "gone; asking again will not bring it back",
    "blocked": "there, but not for us",
    "transient": "may be there tomorrow",
    "invalid": "something came, and it is not what the list promised",
    "filtered": "this dataset does not want it",
    "failed": "our own fault",
}


@dataclass(frozen=True, slots=True)
class ReasonCount:
    """One reason of an outcome, and what it means."""

    name: str
    meaning: str
    rows: int


@dataclass(frozen=True, slots=True)
class OutcomeCount:
    """One outcome other than ok, and its reasons, the most frequent first."""

    status: Status
    meaning: str
    rows: int
    reasons: tuple[ReasonCount, ...]


@dataclass(frozen=True, slots=True)
class SourceFunnel:
    """What became of the rows of all lists of one kind."""

    source: str
    rows_read: int
    rejects: int
    duplicates: int
    candidates: int
    outcomes: dict[str, int]


def count_outcomes(version: Version) -> list[OutcomeCount]:
    """Return every outcome but ok that some row had, in the order of the closed list."""
    found = []
    for status in STATUSES[1:]:
        rows = {name: version.reasons.get(f"{status}/{name}", 0) for name in REASONS[status]}
        ordered = sorted(rows.items(), key=lambda item: (-item[1], item[0]))
        reasons = [
            ReasonCount(name, as_img2dataset(Outcome(status, name))[1] or "", count)
            for name, count in ordered
            if count
        ]
        if reasons:
            found.append(OutcomeCount(status, _MEANING[status], sum(rows.values()), tuple(reasons)))
    return found


def count_sources(plan: PlanCounts, by_source: Mapping[str, Counter[str]]) -> list[SourceFunnel]:
    """Return a line for every kind of list, in the order of the dataset's file."""
    lines = []
    for kind in dict.fromkeys(source.kind for source in plan.sources):
        lists = [source for source in plan.sources if source.kind == kind]
        lines.append(
            SourceFunnel(
                source=kind,
                rows_read=sum(one.rows_read for one in lists),
                rejects=sum(one.rejects for one in lists),
                duplicates=sum(one.duplicates for one in lists),
                candidates=sum(one.candidates for one in lists),
                outcomes=dict(sum_by_status(by_source.get(kind, {}))),
            )
        )
    return lines
