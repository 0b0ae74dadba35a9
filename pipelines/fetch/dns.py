"""Host names to addresses, and whether the name service works."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import time
from collections.abc import Iterable
from typing import Any

from aiohttp.resolver import ThreadedResolver

from pipelines.errors import StopJob
from schemas.outcome import Outcome

# A look-up blocks a thread; with a dead name server for 10 s (glibc: two tries of 5 s).
LOOKUP_THREADS = 64
# A host that did not resolve is not looked up again for so long, however many URLs name it.
_FAILURE_TTL_S = 60.0
# The most failed names in the cache: 20 MB.
_MAX_FAILED = 100_000
# Below so many hosts, a bad share may be chance.
_MIN_HOSTS = 20
# No answer at all from 20 % of hosts is beyond any list. NXDOMAIN: lists of 2018 have lost up to a fifth of
# their hosts, none has lost half.
_UNANSWERED_SHARE = 0.2
_UNRESOLVED_SHARE = 0.5


# Of all resolvers of this process: since when, and what tells two look-ups apart.
_lookups: set[tuple[float, object]] = set()


class CachingResolver(ThreadedResolver):
    """The system's resolver with a cache of failures; it never looks up `.invalid` (RFC 6761)."""

    def __init__(self) -> None:
        super().__init__()
        self._failed: dict[str, tuple[float, socket.gaierror]] = {}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[Any]:
        """Return the addresses of a host.

        Raises:
            socket.gaierror: there are none.
        """
        if is_reserved_invalid(host):
            raise socket.gaierror(socket.EAI_NONAME, "reserved name")
        now = asyncio.get_running_loop().time()
        if host in self._failed:
            at, error = self._failed[host]
            if now - at < _FAILURE_TTL_S:
                raise socket.gaierror(error.errno, "failed before")
            del self._failed[host]
        looking = (time.monotonic(), object())
        _lookups.add(looking)
        try:
            return await super().resolve(host, port, family)
        except socket.gaierror as error:
            if len(self._failed) >= _MAX_FAILED:
                self._failed.clear()
            self._failed[host] = (now, error)
            raise
        finally:
            _lookups.discard(looking)


def count_lookups() -> tuple[int, float]:
    """Return how many names wait for the name service in this process, and how long the first has."""
    begun_s = [began_s for began_s, _ in [*_lookups]]
    return len(begun_s), time.monotonic() - min(begun_s) if begun_s else 0.0


def is_reserved_invalid(host: str) -> bool:
    """Return whether a host is below `.invalid`, which never exists."""
    return host.rstrip(".").lower().rpartition(".")[2] == "invalid"


def check_resolver(outcomes: Iterable[tuple[str, Outcome]]) -> None:
    """Stop the job if so many hosts do not resolve that the name service must be at fault.

    Args:
        outcomes: the host of each URL of a shard, with the URL's outcome.

    Raises:
        StopJob: over a fifth of at least 20 distinct hosts got no answer from the name service, or under
            half of them resolved at all.
    """
    unanswered: set[str] = set()
    missing: set[str] = set()
    hosts: set[str] = set()
    for host, outcome in outcomes:
        if is_reserved_invalid(host) or _is_address(host):
            continue
        hosts.add(host)
        if outcome == ("transient", "dns"):
            unanswered.add(host)
        elif outcome == ("dead", "no_such_host"):
            missing.add(host)
    if len(hosts) < _MIN_HOSTS:
        return
    unresolved = unanswered | missing
    if len(unanswered) > _UNANSWERED_SHARE * len(hosts) or len(unresolved) > _UNRESOLVED_SHARE * len(hosts):
        raise StopJob(
            f"failed/resolver: {len(unresolved)} of {len(hosts)} hosts of one shard have no address, which "
            "no list explains; check this machine's network and name service, then start the job again"
        )


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True
