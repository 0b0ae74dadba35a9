"""The slots of a worker: so many requests at once."""

from __future__ import annotations

import asyncio
from collections import deque
from types import TracebackType


class PrioritySemaphore:
    """So many at once, in the order of asking; whoever has had one before goes before those who have not.

    A row that waited for its host comes back while thousands have not begun. Behind them it would keep its
    whole shard waiting until all of theirs are done: 16 shards of 1,000 rows ended within a second of each
    other, after 31 s, in place of one after the other from the 14th second on.

    Args:
        count: how many.
    """

    def __init__(self, count: int) -> None:
        self._free = count
        self._back: deque[asyncio.Future[None]] = deque()
        self._first: deque[asyncio.Future[None]] = deque()

    async def __aenter__(self) -> None:
        await self._take(self._first)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave()

    async def come_back(self) -> None:
        """Take a slot again, before all who have not had one."""
        try:
            await self._take(self._back)
        except asyncio.CancelledError:
            self._free -= 1  # the block that had it ends by leaving it once more
            raise

    def leave(self) -> None:
        """Give a slot to whoever is next."""
        if self._free < 0:
            self._free += 1
            return
        for line in (self._back, self._first):
            while line:
                place = line.popleft()
                if not place.done():
                    place.set_result(None)
                    return
        self._free += 1

    async def _take(self, line: deque[asyncio.Future[None]]) -> None:
        if self._free > 0:
            self._free -= 1
            return
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        line.append(place)
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self.leave()
            raise
