"""Who was asked: the hosts with the most candidates, and what they gave."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_SHOWN = 15


@dataclass(frozen=True, slots=True)
class HostSummary:
    """One host, or several together.

    Attributes:
        name: of the host; empty for all that are not among the first.
        hosts: how many these are.
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
    """Return the hosts with the most candidates, first the largest, and the others as one at the end."""
    ordered = sorted(by_host.items(), key=lambda item: (-item[1].total(), item[0]))
    found = [HostSummary(name, 1, outcomes) for name, outcomes in ordered[:_SHOWN]]
    rest = ordered[_SHOWN:]
    if rest:
        together: Counter[str] = Counter()
        for _, outcomes in rest:
            together += outcomes
        found.append(HostSummary("", len(rest), together))
    return found
