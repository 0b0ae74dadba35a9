"""From rows read to rows that are ok: the outcomes of the whole dataset, of every list and of every host."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from schemas.outcome import STATUSES, Outcome, Status, as_img2dataset, is_reason, sum_by_status
from schemas.plan import PlanCounts
from schemas.version import Version

# Hosts that a page names.
_HOSTS_SHOWN = 15
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
    """A reason of an outcome, with its meaning."""

    name: str
    meaning: str
    rows: int


@dataclass(frozen=True, slots=True)
class OutcomeCount:
    """An outcome other than ok, with its reasons, the most frequent first."""

    status: Status
    meaning: str
    rows: int
    reasons: tuple[ReasonCount, ...]


@dataclass(frozen=True, slots=True)
class SourceFunnel:
    """The outcomes of the rows of all lists of one kind."""

    source: str
    rows_read: int
    rejects: int
    duplicates: int
    candidates: int
    outcomes: dict[str, int]


def count_outcomes(version: Version) -> list[OutcomeCount]:
    """Return every outcome but ok that some row has, in the order of the closed list."""
    found = []
    for status in STATUSES[1:]:
        named = ((name.partition("/"), count) for name, count in version.reasons.items())
        rows = {reason: n for (of, _, reason), n in named if of == status and is_reason(status, reason)}
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
                rows_read=sum(each.rows_read for each in lists),
                rejects=sum(each.rejects for each in lists),
                duplicates=sum(each.duplicates for each in lists),
                candidates=sum(each.candidates for each in lists),
                outcomes=dict(sum_by_status(by_source.get(kind, {}))),
            )
        )
    return lines


@dataclass(frozen=True, slots=True)
class HostSummary:
    """One host, or several together.

    Attributes:
        name: of the host; empty for the hosts that are not named.
        hosts: how many this line sums.
        outcomes: status -> candidates.
    """

    name: str
    hosts: int
    outcomes: Mapping[str, int]

    @property
    def rows(self) -> int:
        """Candidates whose media were asked for there."""
        return sum(self.outcomes.values())


def summarize_hosts(by_host: Mapping[str, Counter[str]]) -> Sequence[HostSummary]:
    """Return the 15 hosts with the most candidates, the largest first, and all others as one line."""
    ordered = sorted(by_host.items(), key=lambda item: (-item[1].total(), item[0]))
    found = [HostSummary(name, 1, outcomes) for name, outcomes in ordered[:_HOSTS_SHOWN]]
    rest = ordered[_HOSTS_SHOWN:]
    if rest:
        together: Counter[str] = Counter()
        for _, outcomes in rest:
            together += outcomes
        found.append(HostSummary("", len(rest), together))
    return found
