"""Which limit a host has: that of the file, else the published one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pipelines.fetch.urls import canonicalize_host
from schemas.dataset import Fetch, HostLimit

# Wikitech's robot policy of 2025: "total concurrency of at most 2" and 25 Mbit/s for upload.wikimedia.org.
PUBLISHED: Mapping[str, HostLimit] = {
    "upload.wikimedia.org": HostLimit(connections=2, bytes_per_s=25_000_000 // 8),
    "*.wikimedia.org": HostLimit(connections=2),
    "*.wikipedia.org": HostLimit(connections=2),
}


@dataclass(frozen=True, slots=True)
class HostLimits:
    """The limits of one job: patterns of hosts with their limits, None for no limit. Small and hashable."""

    entries: tuple[tuple[str, HostLimit | None], ...]

    def find_pattern(self, host: str) -> str | None:
        """Return the longest pattern that matches a host; None if none does, or if that one lifts the limit.

        A host matches its own name, and `*.DOMAIN` if it is the domain or below it. All hosts of a pattern
        share its limit. Names are compared in ASCII: `bücher.example` is `xn--bcher-kva.example`.
        """
        table = {_encode_pattern(pattern): (pattern, limit) for pattern, limit in self.entries}
        for name in _list_patterns(_encode_pattern(host.rstrip("."))):
            if name in table:
                pattern, limit = table[name]
                return pattern if limit is not None else None
        return None


def _encode_pattern(pattern: str) -> str:
    if pattern.isascii():
        return pattern
    domain = pattern.removeprefix("*.")
    return pattern.removesuffix(domain) + (canonicalize_host(domain) or domain)


def _list_patterns(host: str) -> Iterable[str]:
    yield host
    while host:
        yield f"*.{host}"
        host = host.partition(".")[2]


def find_limits(fetch: Fetch) -> HostLimits:
    """Return the limits of a dataset: the published ones, each unless the file says otherwise."""
    return HostLimits(tuple(sorted(({**PUBLISHED, **fetch.limits}).items())))


def find_strictest(limits: Iterable[HostLimit]) -> HostLimit:
    """Return the limit that keeps within all of the given ones."""
    given = [limit.model_dump(exclude_none=True) for limit in limits]
    keys = {key for each in given for key in each}
    # The longest delay is the strictest; of all else, the least.
    found = {
        key: (max if key == "delay_s" else min)(each[key] for each in given if key in each) for key in keys
    }
    return HostLimit.model_validate(found)
