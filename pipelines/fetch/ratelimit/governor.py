"""The host governor: one named actor for the whole cluster, and how a worker reaches it.

Limits hold for all jobs of the cluster together. The actor outlives its jobs and is restarted when its
process dies; then it grants no permit until every earlier lease must have expired, except that workers keep
those that they still hold. Without Ray the same limits hold within one process.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from typing import TYPE_CHECKING, Any

from pipelines.fetch.ratelimit.broker import PermitBroker, PermitReport
from pipelines.fetch.ratelimit.leases import LEASE_S, Permit, StateDelta
from pipelines.fetch.ratelimit.limits import HostLimits, find_limits
from pipelines.fetch.ratelimit.permits import HostPermits
from pipelines.fetch.ratelimit.semaphore import PrioritySemaphore
from pipelines.fetch.ratelimit.traffic import Traffic, summarize_traffic
from schemas.dataset import Fetch

if TYPE_CHECKING:
    from ray.actor import ActorHandle

NAME, NAMESPACE = "governor", "echolens"
# Concurrent calls; a waiting one takes no thread, for each is a coroutine.
_CALLS = 10_000
# A worker that has not reported for so long is not counted as at work.
_SILENT_S = 10.0
# Between two tries to reach an actor that is being restarted.
_RETRY_S = 0.5
# Between two polls of the traffic, for a line that a person reads.
_POLL_TRAFFIC_S = 1.5


class Governor(PermitBroker):
    """The actor: a broker that counts traffic."""

    def __init__(self) -> None:
        import ray

        # A first start has no earlier leases; a restarted actor must not repeat the numbers of earlier ones.
        restarted = ray.get_runtime_context().was_current_actor_reconstructed
        super().__init__(shut_s=LEASE_S if restarted else 0.0, first=time.time_ns())
        self._last: dict[str, tuple[float, PermitReport]] = {}
        self._requests = self._read_bytes = 0
        self._metrics = _Metrics()

    async def sync(self, report: PermitReport) -> StateDelta:
        """Take a worker's report and return what is new."""
        now_s = time.monotonic()
        self._requests += report.requests
        self._read_bytes += report.read_bytes
        self._last[report.worker] = (now_s, report)
        self._last = {name: last for name, last in self._last.items() if last[0] > now_s - _SILENT_S}
        self._metrics.update(report, self._compute_traffic())
        return await super().sync(report)

    async def get_traffic(self) -> Traffic:
        """Return what the workers are doing."""
        return self._compute_traffic()

    async def get_pid(self) -> int:
        """Return the actor's process id."""
        return os.getpid()

    def _compute_traffic(self) -> Traffic:
        reports = [report for _, report in self._last.values()]
        return summarize_traffic(reports, self.table, self._requests, self._read_bytes)


class _Metrics:
    """Ray's metrics of the traffic."""

    def __init__(self) -> None:
        from ray.util.metrics import Counter, Gauge

        self._requests = Counter("echolens_requests", "Requests made")
        self._bytes = Counter("echolens_read_bytes", "Bytes of media read")
        self._in_flight = Gauge("echolens_in_flight", "Requests under way")
        self._waited = Counter("echolens_host_wait_s", "Seconds waited for a permit", ("host",))

    def update(self, report: PermitReport, traffic: Traffic) -> None:
        if report.requests:
            self._requests.inc(report.requests)
        if report.read_bytes:
            self._bytes.inc(report.read_bytes)
        self._in_flight.set(traffic.in_flight)
        for host, waited_s in report.waited_s.items():
            if waited_s > 0:
                self._waited.inc(waited_s, {"host": host})


@contextmanager
def watch_traffic(on_traffic: Callable[[Traffic], None] | None) -> Iterator[None]:
    """Poll the traffic of the cluster for a callback, from a thread, until the block ends."""
    if on_traffic is None:
        yield
        return
    import ray
    from ray.exceptions import RayError

    actor, over = get_governor(), threading.Event()

    def watch() -> None:
        while not over.wait(_POLL_TRAFFIC_S):
            # An actor that is being restarted cannot answer for a moment.
            with suppress(RayError):
                traffic: Any = ray.get(actor.get_traffic.remote(), timeout=_POLL_TRAFFIC_S)
                on_traffic(traffic)

    thread = threading.Thread(target=watch, name="traffic", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def count_rows(step: str, outcomes: Mapping[str, int]) -> None:
    """Add the rows of a shard that is through a step to Ray's metrics."""
    counter = _get_rows_counter()
    for outcome, rows in outcomes.items():
        counter.inc(rows, {"step": step, "outcome": outcome})


@cache
def _get_rows_counter() -> Any:
    from ray.util.metrics import Counter

    return Counter("echolens_rows", "Rows through a step, by what became of them", ("step", "outcome"))


class RemoteGovernor:
    """The governor of this cluster, called from an event loop of a worker."""

    def __init__(self) -> None:
        self._actor = get_governor()

    async def request_permits(self, worker: str, host: str, most: int, limits: HostLimits) -> list[Permit]:
        """See `PermitBroker`."""
        permits: list[Permit] = await self._call("request_permits", worker, host, most, limits)
        return permits

    async def sync(self, report: PermitReport) -> StateDelta:
        """See `PermitBroker`."""
        delta: StateDelta = await self._call("sync", report)
        return delta

    async def _call(self, method: str, *arguments: Any) -> Any:
        from ray.exceptions import ActorDiedError, ActorUnavailableError

        while True:
            call = getattr(self._actor, method).remote(*arguments)
            try:
                # Ray has a loop of its own: its future is moved to this one.
                return await asyncio.wrap_future(call.future())
            except ActorUnavailableError:
                await asyncio.sleep(_RETRY_S)
            except ActorDiedError:
                await asyncio.sleep(_RETRY_S)
                self._actor = get_governor()


def get_governor() -> ActorHandle[Any]:
    """Return the governor of the cluster that this process belongs to; start it if there is none."""
    import ray

    actor: Any = ray.remote(Governor)
    handle: ActorHandle[Any] = actor.options(
        name=NAME,
        namespace=NAMESPACE,
        get_if_exists=True,
        lifetime="detached",
        max_restarts=-1,
        max_concurrency=_CALLS,
        num_cpus=0,
    ).remote()
    return handle


def make_permits(fetch: Fetch, slots: PrioritySemaphore | None = None) -> HostPermits:
    """Return the permits of a worker: the cluster's where there is one, else those of this process alone.

    Args:
        fetch: has the limits of the job.
        slots: of the worker; see `HostPermits`.
    """
    # Importing Ray takes a second; a process that has not done so is in no cluster.
    ray = sys.modules.get("ray")
    limits, patience_s = find_limits(fetch), fetch.timeout_s
    if ray is not None and ray.is_initialized():
        return HostPermits(RemoteGovernor(), limits, patience_s, regularly=True, slots=slots)
    # Leases within one process need no renewal: they end with it.
    return HostPermits(PermitBroker(lease_s=float("inf")), limits, patience_s, regularly=False, slots=slots)
