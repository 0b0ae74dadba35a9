"""Who we say we are, who does not want us, and how a request asks whether it may."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager
from importlib import metadata
from typing import Protocol

from pipelines.errors import ConfigError
from schemas.outcome import Outcome

# Directives of X-Robots-Tag that say: not for datasets. img2dataset's list.
UNWANTED = frozenset({"noai", "noimageai", "noindex", "noimageindex"})
_OUR_NAME = "echolens"


def make_user_agent(contact: str | None) -> str:
    """Return `Echolens/VERSION (CONTACT) aiohttp/VERSION`, the form that Wikimedia's policy asks for."""
    import aiohttp

    who = f" ({contact})" if contact else ""
    return f"Echolens/{metadata.version('echolens')}{who} aiohttp/{aiohttp.__version__}"


def make_no_contact_error() -> ConfigError:
    """Return the error of asking a public host without saying who asks."""
    return ConfigError(
        "the lists name public hosts and the dataset file has no contact for their owners; "
        'add a line such as contact: "you@example.org"'
    )


def find_unwanted_directive(tags: Iterable[str]) -> bool:
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


class HostSlot(Protocol):
    """One request that may be under way."""

    def started(self) -> None:
        """Say that the host has the request; if nobody does, the turn's end is taken for it."""
        ...

    async def took(self, read_bytes: int) -> None:
        """Say what was read of the answer; waits where the host's limit asks for it."""
        ...


class Permits(Protocol):
    """Says when a host may be asked, and hears what came of it.

    async with permits.permit(host) as turn:
        ...                                 # one request; a redirect to another host is another turn
        permits.heard(host, status, retry_after_s)
        await turn.took(len(chunk))         # for each chunk of the body
    """

    def permit(self, host: str) -> AbstractAsyncContextManager[HostSlot]:
        """Return a context in which one request to the host may be under way.

        Raises:
            NotNowError: on entering, which otherwise waits for as long as the host's limit asks.
        """
        ...

    def heard(self, host: str, status: int, retry_after_s: float | None) -> None:
        """Learn what the host answered."""
        ...

    def down(self, origin: str) -> Outcome | None:
        """Return the outcome of a HOST:PORT that is known to be down; None for one to be asked."""
        ...

    def reached(self, origin: str) -> None:
        """Learn that a HOST:PORT answers."""
        ...

    def failed(self, origin: str, became: Outcome) -> None:
        """Learn that no connection to a HOST:PORT could be made."""
        ...

    async def close(self) -> None:
        """Give back what is held."""
        ...
