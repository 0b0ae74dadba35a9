import asyncio
import contextlib
import socket
import threading

from pipelines.fetch.dns import CachingResolver, count_lookups
from pipelines.fetch.ratelimit.broker import PermitBroker, PermitReport, QueueStats
from pipelines.fetch.ratelimit.limits import find_limits
from pipelines.fetch.ratelimit.permits import HostPermits
from pipelines.fetch.ratelimit.traffic import Traffic, summarize_traffic
from schemas.dataset import Fetch

LIMITS = find_limits(Fetch(limits={"slow.example": {"delay_s": 30}, "one.example": {"connections": 1}}))


class Keeping(PermitBroker):
    """A broker that keeps the latest report."""

    last = PermitReport("", LIMITS)

    async def sync(self, report):
        self.last = report
        return await super().sync(report)


def watch(host, requests, status=None, retry_after_s=None):
    """Return the traffic while requests wait for a host, one of which has had a response."""

    async def one(permits):
        async with permits.acquire(host) as slot:
            slot.mark_started()
            if status:
                permits.report_response(host, status, retry_after_s)
                return
            await asyncio.sleep(60)

    async def run():
        broker = Keeping()
        permits = HostPermits(broker, LIMITS, 60, regularly=True)
        first = asyncio.create_task(one(permits))
        await asyncio.sleep(0.1)
        others = [asyncio.create_task(one(permits)) for _ in range(requests - 1)]
        await asyncio.sleep(0.2)
        await permits._sync()
        traffic = summarize_traffic([broker.last], broker.table, 1, 0)
        for task in (first, *others):
            task.cancel()
        await permits.close()
        return traffic

    return asyncio.run(run())


def test_a_host_that_asked_for_a_pause():
    """However useless its Retry-After: who waits, for whom, and how much longer."""
    for host in ("slow.example", "free.example"):
        traffic = watch(host, 8, 429, 40.0)

        assert (7, host, True, 0) == (traffic.waiting, traffic.slowest, traffic.paused, traffic.in_flight)
        assert 38 < traffic.left_s <= 40


def test_a_limit_that_is_used_up():
    """Until its window has room; or until a request ends, which nobody can tell."""
    slow, one = watch("slow.example", 3), watch("one.example", 3)

    assert (2, "slow.example", False, 1) == (slow.waiting, slow.slowest, slow.paused, slow.in_flight)
    assert 25 < slow.left_s <= 30
    assert (2, "one.example", False) == (one.waiting, one.slowest, one.paused)
    assert float("inf") == one.left_s


def test_nobody_waits():
    """Requests in flight are no wait."""
    traffic = watch("free.example", 2)

    assert Traffic(1, 0, 2) == traffic


def test_the_host_that_is_waited_for_longest():
    """Over all workers; the look-ups of all are one number."""
    reports = [
        PermitReport("a", LIMITS, waiting={"x": QueueStats(2, 5.0)}, lookups=QueueStats(3, 4.0), in_flight=1),
        PermitReport("b", LIMITS, waiting={"x": QueueStats(1, 1.0), "y": QueueStats(9, 4.0)}, in_flight=2),
    ]
    traffic = summarize_traffic(reports, PermitBroker().table, 7, 8)

    assert Traffic(7, 8, 3, 3, "x", 5.0, lookups=3, lookup_s=4.0) == traffic


def test_look_ups_that_take_long(monkeypatch):
    """A name service that does not answer is told from hosts that do not."""
    silent, late = threading.Event(), threading.Event()

    def look_up(*_, **__):
        silent.set()
        late.wait(5)
        raise socket.gaierror(socket.EAI_AGAIN, "")

    async def run():
        resolver = CachingResolver()
        task = asyncio.create_task(resolver.resolve("a.example"))
        await asyncio.to_thread(silent.wait)
        await asyncio.sleep(0.1)
        during = count_lookups()
        late.set()
        with contextlib.suppress(OSError):
            await task
        return during, count_lookups()

    # A name service that is down for minutes cannot be had here.
    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    (names, longest_s), after = asyncio.run(run())

    assert (1, (0, 0.0)) == (names, after)
    assert 0.1 <= longest_s < 5
