"""What the workers of a cluster are doing, and what they wait for: their latest reports, summed up."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.fetch.ratelimit.broker import PermitReport
from pipelines.fetch.ratelimit.leases import LeaseTable


@dataclass(frozen=True, slots=True)
class Traffic:
    """What the workers of a cluster are doing.

    Attributes:
        requests: made since the governor began.
        read_bytes: read since then.
        in_flight: requests in flight.
        waiting: requests that wait for the host with the longest wait.
        slowest: that host; "" if none waits.
        longest_s: how long the first of them has waited.
        left_s: until that host may be asked again; inf if it depends on requests in flight.
        paused: whether that host itself asked for the wait, by a Retry-After; else a limit does.
        lookups: names that wait for the name service.
        lookup_s: how long the first of them has waited.
    """

    requests: int
    read_bytes: int
    in_flight: int
    waiting: int = 0
    slowest: str = ""
    longest_s: float = 0.0
    left_s: float = float("inf")
    paused: bool = False
    lookups: int = 0
    lookup_s: float = 0.0


def summarize_traffic(
    reports: Sequence[PermitReport], table: LeaseTable, requests: int, read_bytes: int
) -> Traffic:
    """Return the traffic of all workers.

    Args:
        reports: the latest of each worker.
        table: of leases and holds, which knows until when a host is not to be asked.
        requests: made so far.
        read_bytes: read so far.
    """
    waiting: defaultdict[str, int] = defaultdict(int)
    longest_s: defaultdict[str, float] = defaultdict(float)
    for report in reports:
        for host, queue in report.waiting.items():
            waiting[host] += queue.requests
            longest_s[host] = max(longest_s[host], queue.longest_s)
    slowest = max(longest_s, key=lambda host: longest_s[host], default="")
    return Traffic(
        requests,
        read_bytes,
        sum(report.in_flight for report in reports),
        waiting[slowest],
        slowest,
        longest_s[slowest],
        table.forecast_wait_s(slowest),
        table.get_hold_s(slowest) > 0,
        sum(report.lookups.requests for report in reports),
        max((report.lookups.longest_s for report in reports), default=0.0),
    )
