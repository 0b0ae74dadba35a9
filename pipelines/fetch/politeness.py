"""Who we say we are, who does not want us, and how many requests a host gets at once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager, nullcontext
from importlib import metadata
from typing import Protocol

from pipelines.errors import ConfigError

# Directives of X-Robots-Tag that say: not for datasets. img2dataset's list.
UNWANTED = frozenset({"noai", "noimageai", "noindex", "noimageindex"})
_OUR_NAME = "echolens"

# Hosts (and all below them) with a published limit of requests at once. Wikimedia: "total concurrency of
# at most 2" for upload.wikimedia.org, wikitech's robot policy of April 2025.
CONNECTIONS: dict[str, int] = {"wikimedia.org": 2, "wikipedia.org": 2}


def user_agent(contact: str | None) -> str:
    """Return `Echolens/VERSION (CONTACT) aiohttp/VERSION`, the form that Wikimedia's policy asks for."""
    import aiohttp

    who = f" ({contact})" if contact else ""
    return f"Echolens/{metadata.version('echolens')}{who} aiohttp/{aiohttp.__version__}"


def no_contact() -> ConfigError:
    """Return the error of asking a public host without saying who asks."""
    return ConfigError(
        "the lists name public hosts and the dataset file has no contact for their owners; "
        'add a line such as contact: "you@example.org"'
    )


def unwanted(tags: Iterable[str]) -> bool:
    """Return whether `X-Robots-Tag` headers forbid the use of a picture, to all or to us by name."""
    for tag in tags:
        name, colon, rest = tag.partition(":")
        # `robot: a, b` is for that robot alone; `a, unavailable_after: date` has no robot in it.
        addressed = bool(colon) and "," not in name and name.strip().lower() != "unavailable_after"
        if addressed and name.strip().lower() not in {_OUR_NAME, "*"}:
            continue
        directives = (rest if addressed else tag).lower().split(",")
        if not UNWANTED.isdisjoint(directive.strip() for directive in directives):
            return True
    return False


class Permits(Protocol):
    """Says when a host may be asked, and hears what it answered."""

    def permit(self, host: str) -> AbstractAsyncContextManager[object]:
        """Return a context in which one request to the host may be under way; entering it may wait."""
        ...

    def heard(self, host: str, status: int, retry_after_s: float | None) -> None:
        """Learn what the host answered."""
        ...


class LocalPermits:
    """Keeps the limits of `CONNECTIONS` within one worker. Made and used in one event loop."""

    def __init__(self) -> None:
        self._semaphores = {suffix: asyncio.Semaphore(limit) for suffix, limit in CONNECTIONS.items()}

    def permit(self, host: str) -> AbstractAsyncContextManager[object]:
        """Return the semaphore of a limited host; any other host needs none."""
        for suffix, semaphore in self._semaphores.items():
            if host == suffix or host.endswith(f".{suffix}"):
                return semaphore
        return nullcontext()

    def heard(self, host: str, status: int, retry_after_s: float | None) -> None:
        """Nothing to learn: the limits are fixed."""
