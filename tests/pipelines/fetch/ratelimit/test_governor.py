"""The governor on a real Ray: several processes, one limit."""

import asyncio
import os
import signal
import sys
import time
import urllib.request

import pytest
import ray
from ray import cloudpickle

from pipelines.fetch.ratelimit.governor import count_rows, get_governor, make_permits, watch_traffic
from pipelines.fetch.ratelimit.leases import LEASE_S
from pipelines.fetch.worker import LoopThread
from pipelines.run.ray_plan import Session
from schemas.dataset import Fetch

TWO = Fetch(limits={"limited.example": {"connections": 2}})
UNTOLD = Fetch()


@pytest.fixture(scope="module")
def cluster():
    """A Ray of our own, as a build starts it."""
    with Session() as session:
        session.start()
        yield


async def make(fetch):
    return make_permits(fetch)


async def take_slots(permits, host, count, each_s):
    async def one():
        async with permits.acquire(host) as slot:
            began_s = time.time()
            slot.mark_started()
            await asyncio.sleep(each_s)
        return began_s, time.time()

    return await asyncio.gather(*(one() for _ in range(count)))


async def report_response(permits, host, status, retry_after_s):
    permits.report_response(host, status, retry_after_s)
    return time.time()


class Asker:
    """An actor as Ray Data makes them: its calls are threads, and its event loop is in one beside them."""

    def __init__(self, fetch):
        self.loop_thread = LoopThread()
        self.permits = self.loop_thread.run(make(fetch))

    def get_pid(self):
        return os.getpid()

    def take_slots(self, host, count, each_s):
        """Take slots all at once; return when each began and ended."""
        return self.loop_thread.run(take_slots(self.permits, host, count, each_s))

    def report_response(self, host, status, retry_after_s):
        return self.loop_thread.run(report_response(self.permits, host, status, retry_after_s))

    def close(self):
        self.loop_thread.run(self.permits.close())
        self.loop_thread.close()


@pytest.fixture
def asker(cluster):
    """Start an actor; tests are not importable there, so it travels by value."""
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    yield lambda fetch: ray.remote(num_cpus=0, max_concurrency=4)(Asker).remote(fetch)
    cloudpickle.unregister_pickle_by_value(sys.modules[__name__])


def most_at_once(spans):
    changes = sorted([(began, 1) for began, _ in spans] + [(ended, -1) for _, ended in spans])
    most = now = 0
    for _, change in changes:
        now += change
        most = max(most, now)
    return most


def test_two_jobs_share_one_limit(asker):
    """Workers of several jobs, one of which does not even know the limit, keep it together."""
    askers = [asker(fetch) for fetch in (TWO, TWO, TWO)]
    ray.get([each.take_slots.remote("other.example", 1, 0) for each in askers])
    late = asker(UNTOLD)
    began_s = time.time()
    spans = ray.get([each.take_slots.remote("limited.example", 10, 0.05) for each in [*askers, late]])
    print(f"\n40 slots of 0.05 s, 2 at once: {time.time() - began_s:.2f} s of at least 1.0 s")
    ray.get([each.close.remote() for each in [*askers, late]])

    assert most_at_once([span for each in spans for span in each]) == 2


@pytest.mark.slow
def test_a_worker_that_is_killed_loses_its_permits_by_time(asker):
    """Its leases count until they end by themselves, and then go to others."""
    dying, living = (asker(TWO) for _ in range(2))
    ray.get(living.take_slots.remote("other.example", 1, 0))
    dying.take_slots.remote("limited.example", 2, 600)
    time.sleep(2)
    os.kill(ray.get(dying.get_pid.remote()), signal.SIGKILL)
    began_s = time.time()
    spans = ray.get(living.take_slots.remote("limited.example", 2, 0))
    waited_s = min(began for began, _ in spans) - began_s
    print(f"\nleases of a killed worker were free after {waited_s:.1f} s")
    ray.get(living.close.remote())

    assert LEASE_S * 0.7 <= waited_s <= LEASE_S + 3


@pytest.mark.slow
def test_the_limit_holds_through_a_restart_of_the_governor(asker):
    """Killed with permits out, it gives none until they must have ended or been reported again."""
    first, second = (asker(TWO) for _ in range(2))
    ray.get([each.take_slots.remote("other.example", 1, 0) for each in (first, second)])
    held = first.take_slots.remote("limited.example", 1, LEASE_S + 10)
    time.sleep(1)
    before = ray.get(get_governor().get_pid.remote())
    os.kill(before, signal.SIGKILL)
    killed_s = time.time()
    spans = ray.get(second.take_slots.remote("limited.example", 4, 0.5))
    assert before != ray.get(get_governor().get_pid.remote())
    spans += ray.get(held)
    began_s = min(began for began, _ in spans if began > killed_s) - killed_s
    print(f"\nthe first permit after the governor's death came after {began_s:.1f} s")
    ray.get([each.close.remote() for each in (first, second)])

    assert most_at_once(spans) == 2
    assert began_s >= LEASE_S


@pytest.mark.slow
def test_every_worker_keeps_a_hold(asker):
    """Retry-After that one worker is sent keeps the requests of all away, also of hosts without a limit."""
    first, second = (asker(Fetch(timeout_s=60)) for _ in range(2))
    ray.get([each.take_slots.remote("other.example", 1, 0) for each in (first, second)])
    heard_s = ray.get(first.report_response.remote("pausing.example", 429, 8.0))
    time.sleep(LEASE_S / 5 + 1)  # a worker with nothing to say reports once in this time
    spans = ray.get(second.take_slots.remote("pausing.example", 1, 0))
    ray.get([each.close.remote() for each in (first, second)])

    assert spans[0][0] - heard_s >= 7.5


def read_metrics():
    """Return the text that Prometheus would read from this node."""
    (node,) = ray.nodes()
    url = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read().decode()


@pytest.mark.slow
def test_what_is_going_on_can_be_seen(asker):
    """By the driver, who waits for which host; by Prometheus, all of it through Ray's own metrics."""
    seen = []
    busy = asker(TWO)
    with watch_traffic(seen.append):
        ray.get(busy.report_response.remote("other.example", 200, None))
        ray.get(busy.take_slots.remote("limited.example", 6, 2))
    ray.get(busy.close.remote())
    slowest = max(seen, key=lambda traffic: traffic.longest_s)

    assert seen[-1].requests >= 1
    assert ("limited.example", True) == (slowest.slowest, slowest.longest_s > 1)
    assert 2 == max(traffic.in_flight for traffic in seen)
    count_rows("fetch", {"ok": 3, "dead/http_404": 1})
    wanted = {"echolens_requests", "echolens_in_flight", "echolens_host_wait_s", "echolens_rows"}
    end_s = time.monotonic() + 60
    while time.monotonic() < end_s and not all(name in read_metrics() for name in wanted):
        time.sleep(1)
    assert {name for name in wanted if name in read_metrics()} == wanted
