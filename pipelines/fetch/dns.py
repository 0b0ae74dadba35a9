"""Host names to addresses, and whether the name service can be believed."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Iterable
from typing import Any

from aiohttp.resolver import ThreadedResolver

from pipelines.errors import StopJob
from schemas.outcome import Outcome

# Look-ups block a thread each; a dead name server takes 10 s (glibc: two tries of 5 s) to say so.
LOOKUP_THREADS = 64
# A host that did not resolve is not looked up again for so long, however many URLs name it.
_FORGET_S = 60.0
# Most names that are remembered as failed: 20 MB of them.
_REMEMBERED = 100_000
# Below so many hosts, chance alone may make a share look bad.
_FEWEST_HOSTS = 20
# Without an answer at all: 20 % is beyond any list. With NXDOMAIN: lists of 2018 have lost up to a fifth
# of their hosts, none has lost half.
_UNANSWERED_SHARE = 0.2
_UNRESOLVED_SHARE = 0.5


class CachingResolver(ThreadedResolver):
    """The system's resolver, which remembers failures and never asks for `.invalid` (RFC 6761)."""

    def __init__(self) -> None:
        super().__init__()
        self._failed: dict[str, tuple[float, socket.gaierror]] = {}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[Any]:
        """Return the addresses of a host; raise socket.gaierror where there are none."""
        if is_reserved_invalid(host):
            raise socket.gaierror(socket.EAI_NONAME, "reserved name")
        now = asyncio.get_running_loop().time()
        if host in self._failed:
            at, error = self._failed[host]
            if now - at < _FORGET_S:
                raise socket.gaierror(error.errno, "failed before")
            del self._failed[host]
        try:
            return await super().resolve(host, port, family)
        except socket.gaierror as error:
            if len(self._failed) >= _REMEMBERED:
                self._failed.clear()
            self._failed[host] = (now, error)
            raise


def is_reserved_invalid(host: str) -> bool:
    """Return whether a host is below `.invalid`, which never exists."""
    return host.rstrip(".").lower().rpartition(".")[2] == "invalid"


def check_resolver(asked: Iterable[tuple[str, Outcome]]) -> None:
    """Stop the job if so many hosts do not resolve that the fault must be here.

    Args:
        asked: the host of each URL of a shard and what became of the URL.

    Raises:
        StopJob: over a fifth of at least 20 distinct hosts got no answer from the name service, or under
            half of them resolved at all.
    """
    unanswered: set[str] = set()
    missing: set[str] = set()
    hosts: set[str] = set()
    for host, outcome in asked:
        if is_reserved_invalid(host) or _is_address(host):
            continue
        hosts.add(host)
        if outcome == ("transient", "dns"):
            unanswered.add(host)
        elif outcome == ("dead", "no_such_host"):
            missing.add(host)
    if len(hosts) < _FEWEST_HOSTS:
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
