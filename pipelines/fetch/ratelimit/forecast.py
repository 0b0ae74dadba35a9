"""How long hosts will take at the rates that they allow: what `echolens plan` says before any request.

No worker can be faster than the slowest of a host's limits. How long a request takes is not known before it
is made, so the figures are of the right order of magnitude and no more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.fetch.ratelimit.limits import find_limits
from schemas.dataset import Fetch, HostLimit
from schemas.plan import HostTable

# From a request to the end of its response, about that of a Wikimedia thumbnail or a small picture.
ANSWER_S = 0.3
# Of a picture of the web; Wikimedia's thumbnails of 330 pixels are a little smaller.
PICTURE_BYTES = 50_000
# Pictures that one worker fetches and stores where nothing limits it, on one core.
WORKER_PER_S = 300.0
_DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class HostForecast:
    """How long one host will take, or all hosts without a limit.

    Attributes:
        host: or the pattern of its limit; "" for all without a limit.
        urls: to be requested.
        per_s: URLs a second, at most.
        bound_by: the limit that keeps it from being faster, in words.
    """

    host: str
    urls: int
    per_s: float
    bound_by: str

    @property
    def days(self) -> float:
        """The time it takes."""
        return self.urls / self.per_s / _DAY_S


def make_forecasts(fetch: Fetch, hosts: HostTable, workers: int) -> list[HostForecast]:
    """Return the forecasts of the hosts with a limit, the longest first, then of the rest of the web.

    Args:
        fetch: with its limits.
        hosts: of a plan; those that share a limit are one.
        workers: that fetch.
    """
    limits = find_limits(fetch)
    limited: list[HostForecast] = []
    for host in hosts.largest:
        pattern = host.host if host.host.startswith("*.") else limits.find_pattern(host.host)
        limit = dict(limits.entries).get(pattern) if pattern else None
        if limit is not None:
            per_s, bound_by = _find_slowest(limit)
            limited.append(HostForecast(host.host, host.urls, per_s, bound_by))
    rest = hosts.urls - sum(each.urls for each in limited)
    forecasts = sorted(limited, key=lambda each: -each.days)
    if rest:
        per_s = workers * min(WORKER_PER_S, fetch.connections / ANSWER_S)
        forecasts.append(HostForecast("", rest, per_s, f"{workers} workers on this machine"))
    return forecasts


def find_binding_limit(forecasts: Sequence[HostForecast]) -> HostForecast | None:
    """Return the forecast that the build will wait for; lanes run in parallel, so it is the longest."""
    return max(forecasts, key=lambda each: each.days, default=None)


def _find_slowest(limit: HostLimit) -> tuple[float, str]:
    rates: list[tuple[float, str]] = []
    if limit.connections is not None:
        rates.append((limit.connections / ANSWER_S, f"{limit.connections} requests at once"))
    if limit.requests_per_s is not None:
        rates.append((limit.requests_per_s, f"{limit.requests_per_s:g} requests/s"))
    if limit.requests_per_min is not None:
        rates.append((limit.requests_per_min / 60, f"{limit.requests_per_min} requests a minute"))
    if limit.requests_per_day is not None:
        rates.append((limit.requests_per_day / _DAY_S, f"{limit.requests_per_day} requests a day"))
    if limit.delay_s is not None:
        rates.append((1 / limit.delay_s, f"{limit.delay_s:g} s from one request to the next"))
    if limit.bytes_per_s is not None:
        rates.append((limit.bytes_per_s / PICTURE_BYTES, f"{limit.bytes_per_s / 1e6:g} MB/s"))
    return min(rates)
