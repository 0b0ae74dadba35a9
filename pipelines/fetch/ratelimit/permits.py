"""A worker's side of the host rules: it asks its desk for permits in batches, and remembers who is closed.

A host without any limit costs no call: whether it is held or down is looked up here, and only what closes
or opens is reported.
"""

from __future__ import annotations

import asyncio
import random
import uuid
from collections import defaultdict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Self

from pipelines.errors import HostUnavailableError
from pipelines.fetch.ratelimit.broker import PermitClient, PermitReport, QueueStats
from pipelines.fetch.ratelimit.circuit_breaker import CircuitBreakers
from pipelines.fetch.ratelimit.leases import LEASE_S, MAX_HOLD_S, HostHold, Permit, StateDelta
from pipelines.fetch.ratelimit.limits import HostLimits
from pipelines.fetch.ratelimit.semaphore import PrioritySemaphore
from schemas.outcome import Outcome, make_outcome

# Between two reports of a worker with nothing urgent to say; leases live five times as long.
_SYNC_S = LEASE_S / 5
# A start is reported with the end of its request, unless that takes longer than this.
_STARTS_WAIT_S = 0.05
# A 429 that does not say how long: no longer than a worker would have paused by itself.
_PAUSE_S = 2.0
# What a paced connection may read at once after a pause, in seconds of its share.
_BURST_S = 0.25
_KNOWN_HOSTS = 4096


class HostPermits:
    """Permits of one worker. Made and used in one event loop.

    Args:
        desk: who gives permits.
        limits: of the job.
        patience_s: how long a request waits for a host that asked for a pause and has no limit. One that has
            is waited for however long it asks, up to `MAX_HOLD_S`: its lane holds up nobody else.
        regularly: whether to report even if there is nothing to say, so that leases stay and news come.
        slots: of which every request holds one; one that waits for its host leaves it to the others.
    """

    def __init__(
        self,
        desk: PermitClient,
        limits: HostLimits,
        patience_s: float,
        *,
        regularly: bool,
        slots: PrioritySemaphore | None = None,
    ) -> None:
        self._desk, self._limits, self._patience_s = desk, limits, patience_s
        self._slots = slots
        self._regularly = regularly
        self._me = uuid.uuid4().hex
        self._loop = asyncio.get_running_loop()
        self._news = StateDelta(0, {}, (limits,))
        self._queues: dict[str, deque[_Place]] = {}
        self._held: dict[int, str] = {}
        self._started: list[int] = []
        self._ended: list[int] = []
        self._told = CircuitBreakers(self._loop.time)
        self._requests = self._read_bytes = self._in_flight = 0
        self._waits: dict[str, dict[LeasedSlot, float]] = {}
        self._waited_s: defaultdict[str, float] = defaultdict(float)
        self._tasks: set[asyncio.Task[None]] = set()
        self._soon = asyncio.Event()
        self._ready: asyncio.Task[None] | None = None
        self._reporting: asyncio.Task[None] | None = None
        self._limited = lru_cache(_KNOWN_HOSTS)(self._is_limited)

    def permit(self, host: str) -> LeasedSlot:
        """Return a context in which one request to the host may be under way; entering it may wait.

        Raises:
            NotNowError: on entering; the host asked for a pause that is longer than anyone waits.
        """
        return LeasedSlot(self, host)

    def heard(self, host: str, status: int, retry_after_s: float | None) -> None:
        """Learn what a host answered: it may have asked for a pause."""
        self._requests += 1
        if status == 429 or (status == 503 and retry_after_s):
            left_s = min(_PAUSE_S if retry_after_s is None else retry_after_s, MAX_HOLD_S)
            became = (
                make_outcome("blocked", "http_429")
                if status == 429
                else make_outcome("transient", "http_5xx")
            )
            self._told.close(host, HostHold(left_s, became, down=False))
            self._refuse_the_oldest(host)
            self._soon.set()

    def down(self, origin: str) -> Outcome | None:
        """Return what a row of a HOST:PORT that is down has become without asking; None: ask."""
        return self._told.down(origin)

    def reached(self, origin: str) -> None:
        """Learn that a connection to a HOST:PORT was made."""
        self._told.reached(origin)

    def failed(self, origin: str, became: Outcome) -> None:
        """Learn that no connection to a HOST:PORT could be made."""
        self._requests += 1
        self._told.failed(origin, became)

    async def close(self) -> None:
        """Give everything back."""
        for task in [*self._tasks]:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._ended += self._held
        self._held = {}
        if self._ready is not None and (self._ended or self._regularly):
            # Leases that cannot be given back end by time.
            with suppress(Exception):
                await asyncio.wait_for(self._sync(), 1)

    async def enter(self, turn: LeasedSlot) -> Permit | None:
        """Wait until a host may be asked; return the lease if it has a limit."""
        if self._reporting is None or self._reporting.done():
            await self._begun()
        host, limited = turn.host, self._limited(turn.host)
        grant = None
        if limited or self._told.held_s(host) > 0:
            began_s = self._loop.time()
            waits = self._waits.setdefault(host, {})
            waits[turn] = began_s
            try:
                async with self._without_slot():
                    await self._wait_out(host, MAX_HOLD_S if limited else self._patience_s)
                    grant = await self._leased(host) if limited else None
            except BaseException:
                # Cancelled while it waited for its slot again: nobody else would give the permit back.
                if grant is not None:
                    self._give_back(grant)
                raise
            finally:
                del waits[turn]
                if not waits:
                    del self._waits[host]
                # Hosts without a limit have no name of their own in the metrics: there may be thousands.
                self._waited_s[host if limited else "others"] += self._loop.time() - began_s
        self._in_flight += 1
        return grant

    def leave(self, grant: Permit | None) -> None:
        """End a request."""
        self._in_flight -= 1
        if grant is not None:
            self._give_back(grant)

    def start(self, grant: Permit) -> None:
        """Learn that the request of a lease has reached its server."""
        self._started.append(grant.lease)
        self._loop.call_later(_STARTS_WAIT_S, self._soon.set)

    def count(self, read_bytes: int) -> None:
        """Count what was read."""
        self._read_bytes += read_bytes

    @asynccontextmanager
    async def _without_slot(self) -> AsyncIterator[None]:
        if self._slots is None:
            yield
            return
        self._slots.leave()
        try:
            yield
        finally:
            await self._slots.come_back()

    async def _wait_out(self, host: str, patience_s: float) -> None:
        began_s = self._loop.time()
        while (left_s := self._told.held_s(host)) > 0:
            if self._loop.time() + left_s > began_s + patience_s:
                raise HostUnavailableError(self._told.outcome(host))
            # Not all at the same moment.
            await asyncio.sleep(left_s + random.uniform(0, 0.25))

    async def _leased(self, host: str) -> Permit:
        given: asyncio.Future[Permit] = self._loop.create_future()
        if host not in self._queues:
            self._queues[host] = deque()
            self._run(self._ask(host))
        self._queues[host].append(_Place(self._loop.time(), given))
        try:
            return await given
        except asyncio.CancelledError:
            if given.done() and not given.cancelled() and given.exception() is None:
                self._give_back(given.result())
            raise

    async def _ask(self, host: str) -> None:
        queue = self._queues[host]
        try:
            while queue:
                grants = await self._desk.lease(self._me, host, len(queue), self._limits)
                for grant in grants:
                    self._held[grant.lease] = host
                for grant in grants:
                    if place := _first_alive(queue):
                        place.given.set_result(grant)
                    else:
                        self._give_back(grant)
                _drop_dead(queue)
        except Exception as error:
            while place := _first_alive(queue):
                place.given.set_exception(error)
        finally:
            del self._queues[host]

    def _refuse_the_oldest(self, host: str) -> None:
        # A host that asks for one pause after the other answers nobody; its rows come back at refresh.
        queue = self._queues.get(host, deque())
        while (place := _first_alive(queue)) and self._loop.time() - place.began_s > MAX_HOLD_S:
            place.given.set_exception(HostUnavailableError(self._told.outcome(host)))
        if place:
            queue.appendleft(place)

    def _give_back(self, grant: Permit) -> None:
        self._held.pop(grant.lease, None)
        self._ended.append(grant.lease)
        self._soon.set()

    async def _begun(self) -> None:
        if self._reporting is not None:
            self._reporting.result()  # raises why it has ended
        if self._ready is None:
            self._ready = self._run(self._begin())
        await asyncio.shield(self._ready)

    async def _begin(self) -> None:
        if self._regularly:
            await self._sync()
        self._reporting = self._run(self._report())

    async def _report(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(_SYNC_S if self._regularly else None):
                    await self._soon.wait()
            await self._sync()

    async def _sync(self) -> None:
        self._soon.clear()
        now_s = self._loop.time()
        closed, opened = self._told.take_reports()
        report = PermitReport(
            self._me,
            self._limits,
            self._news.serial,
            started=self._started,
            ended=self._ended,
            held=dict(self._held),
            closed=closed,
            opened=opened,
            requests=self._requests,
            read_bytes=self._read_bytes,
            in_flight=self._in_flight,
            waiting={
                host: QueueStats(len(waits), now_s - next(iter(waits.values())))
                for host, waits in self._waits.items()
            },
            waited_s=dict(self._waited_s),
        )
        self._started, self._ended = [], []
        self._requests = self._read_bytes = 0
        self._waited_s.clear()
        before, self._news = self._news.limits, await self._desk.sync(report)
        self._told.hear(self._news.closed)
        if self._news.limits != before:
            self._limited.cache_clear()

    def _is_limited(self, host: str) -> bool:
        # Also by another job: the stricter limit holds.
        return any(limits.pattern(host) for limits in (self._limits, *self._news.limits))

    def _run(self, work: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


@dataclass(frozen=True, slots=True)
class _Place:
    """In the queue for a host: since when, and what is waited for."""

    began_s: float
    given: asyncio.Future[Permit]


def _drop_dead(queue: deque[_Place]) -> None:
    while queue and queue[0].given.done():
        queue.popleft()


def _first_alive(queue: deque[_Place]) -> _Place | None:
    _drop_dead(queue)
    return queue.popleft() if queue else None


class LeasedSlot:
    """One request to a host, from its permit to its end."""

    __slots__ = ("_allowed_bytes", "_at_s", "_grant", "_permits", "host")

    def __init__(self, permits: HostPermits, host: str) -> None:
        self._permits, self.host = permits, host
        self._grant: Permit | None = None
        self._allowed_bytes = self._at_s = 0.0

    async def __aenter__(self) -> Self:
        self._grant = await self._permits.enter(self)
        if self._grant and self._grant.bytes_per_s:
            self._at_s = asyncio.get_running_loop().time()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._permits.leave(self._grant)

    def started(self) -> None:
        """Learn that the server has the request, as its answer shows; else the end is taken for it."""
        if self._grant is not None:
            self._permits.start(self._grant)

    async def took(self, read_bytes: int) -> None:
        """Count what was read, and wait where the host's limit asks for it."""
        self._permits.count(read_bytes)
        if self._grant is None or not self._grant.bytes_per_s:
            return
        now_s, share = asyncio.get_running_loop().time(), self._grant.bytes_per_s
        earned = min(self._allowed_bytes + (now_s - self._at_s) * share, _BURST_S * share)
        self._allowed_bytes, self._at_s = earned - read_bytes, now_s
        if self._allowed_bytes < 0:
            await asyncio.sleep(-self._allowed_bytes / share)
