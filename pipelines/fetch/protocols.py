"""How a request asks for permission: what the HTTP client and the proxy expect of the rate limits."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Protocol

from schemas.outcome import Outcome


class HostSlot(Protocol):
    """Permission for one request in flight."""

    def mark_started(self) -> None:
        """Note that the host has received the request; without it, the slot's end counts as the start."""
        ...

    async def throttle(self, read_bytes: int) -> None:
        """Count bytes read from the response, and wait where the host's limit asks for it."""
        ...


class Permits(Protocol):
    """Grants requests to hosts, and learns from their responses.

    async with permits.acquire(host) as slot:
        ...                                 # one request; a redirect to another host needs another slot
        permits.report_response(host, status, retry_after_s)
        await slot.throttle(len(chunk))     # for each chunk of the body
    """

    def acquire(self, host: str) -> AbstractAsyncContextManager[HostSlot]:
        """Return a context in which one request to the host may be in flight.

        Raises:
            HostUnavailableError: on entering, which otherwise waits for as long as the host's limit asks.
        """
        ...

    def report_response(self, host: str, status: int, retry_after_s: float | None) -> None:
        """Note a host's response, which may ask for a pause."""
        ...

    def check_origin(self, origin: str) -> Outcome | None:
        """Return the outcome of a HOST:PORT that is known to be down; None for one to be asked."""
        ...

    def report_reached(self, origin: str) -> None:
        """Note that a HOST:PORT accepts connections."""
        ...

    def report_failure(self, origin: str, outcome: Outcome) -> None:
        """Note that no connection to a HOST:PORT could be made."""
        ...

    async def close(self) -> None:
        """Return all permits."""
        ...
