"""A worker's side of the rate limits: it leases permits from a broker in batches, and remembers holds.

A host without any limit costs no call: whether it is on hold or down is looked up here, and only changes
are reported.
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
from pipelines.fetch.dns import count_lookups
from pipelines.fetch.ratelimit.broker import PermitClient, PermitReport, QueueStats
from pipelines.fetch.ratelimit.circuit_breaker import CircuitBreakers
from pipelines.fetch.ratelimit.leases import LEASE_S, MAX_HOLD_S, HostHold, Permit, StateDelta
from pipelines.fetch.ratelimit.limits import HostLimits
from pipelines.fetch.ratelimit.semaphore import PrioritySemaphore
from schemas.outcome import Outcome, make_outcome

# Between two reports of a worker with nothing urgent to report; leases live five times as long.
_SYNC_S = LEASE_S / 5
# A start is reported with the end of its request, unless that takes longer than this.
_START_DELAY_S = 0.05
# A 429 that does not say how long: no longer than a worker would have paused by itself.
_PAUSE_S = 2.0
# What a throttled connection may read at once after a pause, in seconds of its share.
_BURST_S = 0.25
_CACHED_HOSTS = 4096


class HostPermits:
    """Permits of one worker. Made and used in one event loop.

    Args:
        broker: grants permits.
        limits: of the job.
        patience_s: how long a request waits for a host that asked for a pause and has no limit. One that has
            is waited for however long it asks, up to `MAX_HOLD_S`: its lane holds up nobody else.
        regularly: whether to report even if nothing changed, so that leases are renewed and deltas come.
        slots: of which every request holds one; while it waits for its host it releases it to others.
    """

    def __init__(
        self,
        broker: PermitClient,
        limits: HostLimits,
        patience_s: float,
        *,
        regularly: bool,
        slots: PrioritySemaphore | None = None,
    ) -> None:
        self._broker, self._limits, self._patience_s = broker, limits, patience_s
        self._slots = slots
        self._regularly = regularly
        self._worker = uuid.uuid4().hex
        self._loop = asyncio.get_running_loop()
        self._delta = StateDelta(0, {}, (limits,))
        self._queues: dict[str, deque[_Waiter]] = {}
        self._leases: dict[int, str] = {}
        self._started: list[int] = []
        self._ended: list[int] = []
        self._circuits = CircuitBreakers(self._loop.time)
        self._requests = self._read_bytes = self._in_flight = 0
        self._waits: dict[str, dict[LeasedSlot, float]] = {}
        self._waited_s: defaultdict[str, float] = defaultdict(float)
        self._tasks: set[asyncio.Task[None]] = set()
        self._report_due = asyncio.Event()
        self._first_sync: asyncio.Task[None] | None = None
        self._reporting: asyncio.Task[None] | None = None
        self._is_limited = lru_cache(_CACHED_HOSTS)(self._check_limited)

    def acquire(self, host: str) -> LeasedSlot:
        """Return a context in which one request to the host may be in flight; entering it may wait.

        Raises:
            HostUnavailableError: on entering; the host asked for a pause that is longer than rows wait.
        """
        return LeasedSlot(self, host)

    def report_response(self, host: str, status: int, retry_after_s: float | None) -> None:
        """Note a host's response: it may ask for a pause."""
        self._requests += 1
        if status == 429 or (status == 503 and retry_after_s):
            left_s = min(_PAUSE_S if retry_after_s is None else retry_after_s, MAX_HOLD_S)
            outcome = (
                make_outcome("blocked", "http_429")
                if status == 429
                else make_outcome("transient", "http_5xx")
            )
            self._circuits.add_hold(host, HostHold(left_s, outcome, down=False))
            self._refuse_oldest(host)
            self._report_due.set()

    def check_origin(self, origin: str) -> Outcome | None:
        """Return the outcome of a row whose HOST:PORT is down; None for one to be asked."""
        return self._circuits.check_origin(origin)

    def report_reached(self, origin: str) -> None:
        """Note that a connection to a HOST:PORT was made."""
        self._circuits.report_reached(origin)

    def report_failure(self, origin: str, outcome: Outcome) -> None:
        """Note that no connection to a HOST:PORT could be made."""
        self._requests += 1
        self._circuits.report_failure(origin, outcome)

    async def close(self) -> None:
        """Return all leases."""
        for task in [*self._tasks]:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._ended += self._leases
        self._leases = {}
        if self._first_sync is not None and (self._ended or self._regularly):
            # Leases that cannot be returned expire.
            with suppress(Exception):
                await asyncio.wait_for(self._sync(), 1)

    async def enter(self, slot: LeasedSlot) -> Permit | None:
        """Wait until a host may be asked; return the permit if the host has a limit."""
        if self._reporting is None or self._reporting.done():
            await self._ensure_reporting()
        host, limited = slot.host, self._is_limited(slot.host)
        permit = None
        if limited or self._circuits.get_hold_s(host) > 0:
            began_s = self._loop.time()
            waits = self._waits.setdefault(host, {})
            waits[slot] = began_s
            try:
                async with self._release_slot():
                    await self._wait_out_hold(host, MAX_HOLD_S if limited else self._patience_s)
                    permit = await self._wait_for_permit(host) if limited else None
            except BaseException:
                # Cancelled while it reacquired its slot: nobody else would return the permit.
                if permit is not None:
                    self._return(permit)
                raise
            finally:
                del waits[slot]
                if not waits:
                    del self._waits[host]
                # Hosts without a limit have no name of their own in the metrics: there may be thousands.
                self._waited_s[host if limited else "others"] += self._loop.time() - began_s
        self._in_flight += 1
        return permit

    def leave(self, permit: Permit | None) -> None:
        """End a request."""
        self._in_flight -= 1
        if permit is not None:
            self._return(permit)

    def mark_started(self, permit: Permit) -> None:
        """Note that a permit's request has reached its server."""
        self._started.append(permit.lease)
        self._loop.call_later(_START_DELAY_S, self._report_due.set)

    def count_bytes(self, read_bytes: int) -> None:
        """Count bytes read."""
        self._read_bytes += read_bytes

    @asynccontextmanager
    async def _release_slot(self) -> AsyncIterator[None]:
        """Leave the worker's slot to others until the block ends."""
        if self._slots is None:
            yield
            return
        self._slots.release()
        try:
            yield
        finally:
            await self._slots.reacquire()

    async def _wait_out_hold(self, host: str, patience_s: float) -> None:
        began_s = self._loop.time()
        while (left_s := self._circuits.get_hold_s(host)) > 0:
            if self._loop.time() + left_s > began_s + patience_s:
                raise HostUnavailableError(self._circuits.get_outcome(host))
            # Jitter: not all at the same moment.
            await asyncio.sleep(left_s + random.uniform(0, 0.25))

    async def _wait_for_permit(self, host: str) -> Permit:
        granted: asyncio.Future[Permit] = self._loop.create_future()
        if host not in self._queues:
            self._queues[host] = deque()
            self._start_task(self._serve_queue(host))
        self._queues[host].append(_Waiter(self._loop.time(), granted))
        try:
            return await granted
        except asyncio.CancelledError:
            if granted.done() and not granted.cancelled() and granted.exception() is None:
                self._return(granted.result())
            raise

    async def _serve_queue(self, host: str) -> None:
        queue = self._queues[host]
        try:
            while queue:
                permits = await self._broker.request_permits(self._worker, host, len(queue), self._limits)
                for permit in permits:
                    self._leases[permit.lease] = host
                for permit in permits:
                    if waiter := _pop_waiter(queue):
                        waiter.granted.set_result(permit)
                    else:
                        self._return(permit)
                _drop_done(queue)
        except Exception as error:
            while waiter := _pop_waiter(queue):
                waiter.granted.set_exception(error)
        finally:
            del self._queues[host]

    def _refuse_oldest(self, host: str) -> None:
        # A host that asks for one pause after the other answers nobody; its rows come back at refresh.
        queue = self._queues.get(host, deque())
        while (waiter := _pop_waiter(queue)) and self._loop.time() - waiter.began_s > MAX_HOLD_S:
            waiter.granted.set_exception(HostUnavailableError(self._circuits.get_outcome(host)))
        if waiter:
            queue.appendleft(waiter)

    def _return(self, permit: Permit) -> None:
        self._leases.pop(permit.lease, None)
        self._ended.append(permit.lease)
        self._report_due.set()

    async def _ensure_reporting(self) -> None:
        if self._reporting is not None:
            self._reporting.result()  # raises why it has ended
        if self._first_sync is None:
            self._first_sync = self._start_task(self._start_reporting())
        await asyncio.shield(self._first_sync)

    async def _start_reporting(self) -> None:
        if self._regularly:
            await self._sync()
        self._reporting = self._start_task(self._report())

    async def _report(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(_SYNC_S if self._regularly else None):
                    await self._report_due.wait()
            await self._sync()

    async def _sync(self) -> None:
        self._report_due.clear()
        now_s = self._loop.time()
        holds, recovered = self._circuits.take_changes()
        report = PermitReport(
            self._worker,
            self._limits,
            self._delta.serial,
            started=self._started,
            ended=self._ended,
            leases=dict(self._leases),
            holds=holds,
            recovered=recovered,
            requests=self._requests,
            read_bytes=self._read_bytes,
            in_flight=self._in_flight,
            waiting={
                host: QueueStats(len(waits), now_s - next(iter(waits.values())))
                for host, waits in self._waits.items()
            },
            waited_s=dict(self._waited_s),
            lookups=QueueStats(*count_lookups()),
        )
        self._started, self._ended = [], []
        self._requests = self._read_bytes = 0
        self._waited_s.clear()
        before, self._delta = self._delta.limits, await self._broker.sync(report)
        self._circuits.apply(self._delta.holds)
        if self._delta.limits != before:
            self._is_limited.cache_clear()

    def _check_limited(self, host: str) -> bool:
        # Also by another job: the stricter limit holds.
        return any(limits.find_pattern(host) for limits in (self._limits, *self._delta.limits))

    def _start_task(self, work: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


@dataclass(frozen=True, slots=True)
class _Waiter:
    """A request in the queue for a host: since when, and where its permit is put."""

    began_s: float
    granted: asyncio.Future[Permit]


def _drop_done(queue: deque[_Waiter]) -> None:
    while queue and queue[0].granted.done():
        queue.popleft()


def _pop_waiter(queue: deque[_Waiter]) -> _Waiter | None:
    _drop_done(queue)
    return queue.popleft() if queue else None


class LeasedSlot:
    """One request to a host, from its permit to its end."""

    __slots__ = ("_allowed_bytes", "_at_s", "_permit", "_permits", "host")

    def __init__(self, permits: HostPermits, host: str) -> None:
        self._permits, self.host = permits, host
        self._permit: Permit | None = None
        self._allowed_bytes = self._at_s = 0.0

    async def __aenter__(self) -> Self:
        self._permit = await self._permits.enter(self)
        if self._permit and self._permit.bytes_per_s:
            self._at_s = asyncio.get_running_loop().time()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._permits.leave(self._permit)

    def mark_started(self) -> None:
        """Note that the server has the request, as its response shows; else the end counts as the start."""
        if self._permit is not None:
            self._permits.mark_started(self._permit)

    async def throttle(self, read_bytes: int) -> None:
        """Count bytes read, and wait where the host's limit asks for it (a token bucket)."""
        self._permits.count_bytes(read_bytes)
        if self._permit is None or not self._permit.bytes_per_s:
            return
        now_s, share = asyncio.get_running_loop().time(), self._permit.bytes_per_s
        earned = min(self._allowed_bytes + (now_s - self._at_s) * share, _BURST_S * share)
        self._allowed_bytes, self._at_s = earned - read_bytes, now_s
        if self._allowed_bytes < 0:
            await asyncio.sleep(-self._allowed_bytes / share)
