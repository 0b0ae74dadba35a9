import asyncio
import itertools
import time

import pytest

from pipelines.errors import HostUnavailableError
from pipelines.fetch.ratelimit.broker import PermitBroker
from pipelines.fetch.ratelimit.governor import make_permits
from pipelines.fetch.ratelimit.limits import find_limits
from pipelines.fetch.ratelimit.permits import HostPermits
from pipelines.fetch.ratelimit.semaphore import PrioritySemaphore
from schemas.dataset import Fetch
from schemas.outcome import make_outcome

LIMITS = {
    "two.example": {"connections": 2},
    "*.five.example": {"requests_per_s": 5},
    "slow.example": {"delay_s": 0.2},
    "narrow.example": {"connections": 2, "bytes_per_s": 200_000},
}
FETCH = Fetch(timeout_s=1, limits=LIMITS)


class Counting(PermitBroker):
    """A broker that counts its calls."""

    def __init__(self) -> None:
        super().__init__(lease_s=float("inf"))
        self.calls = 0

    async def request_permits(self, *arguments):
        self.calls += 1
        return await super().request_permits(*arguments)

    async def sync(self, report):
        self.calls += 1
        return await super().sync(report)


def run(work, fetch=FETCH):
    """Run `work(permits)` to its end."""

    async def all_of_it():
        permits = make_permits(fetch)
        try:
            return await work(permits)
        finally:
            await permits.close()

    return asyncio.run(all_of_it())


def take_slots(*hosts, each_s=0.01, read_bytes=0):
    """Return work that takes a slot at each host, all at once: when each began, and the most in flight."""

    async def work(permits):
        began, under_way, most = [], 0, 0

        async def one(host):
            nonlocal under_way, most
            async with permits.acquire(host) as slot:
                under_way += 1
                most = max(most, under_way)
                began.append(time.monotonic())
                slot.mark_started()
                await asyncio.sleep(each_s)
                for _ in range(read_bytes // 1000):
                    await slot.throttle(1000)
                under_way -= 1

        await asyncio.gather(*(one(host) for host in hosts))
        return began, most

    return work


def test_connections_are_kept():
    """Two at once for the host that says so, all at once for others."""
    assert 2 == run(take_slots(*["two.example"] * 12))[1]
    assert 12 == run(take_slots(*["other.example"] * 12))[1]


def test_hosts_of_a_domain_share_its_limit():
    """Five within any second, over all of them, as the server would count."""
    began, _ = run(take_slots(*["a.five.example", "b.five.example", "five.example"] * 4))
    began.sort()

    assert all(later - earlier >= 1 for earlier, later in zip(began, began[5:], strict=False))
    assert began[-1] - began[0] < 3.5


def test_delays_are_kept():
    """From one start to the next."""
    began, _ = run(take_slots(*["slow.example"] * 5))
    began.sort()

    assert all(later - earlier >= 0.2 for earlier, later in itertools.pairwise(began))


def test_bytes_are_paced():
    """Both connections together read no faster than the host allows."""
    began_s = time.monotonic()
    run(take_slots("narrow.example", "narrow.example", each_s=0, read_bytes=150_000))
    took_s = time.monotonic() - began_s

    assert 1.4 <= took_s < 2.5


def test_hosts_without_a_limit_cost_no_call():
    """A hundred thousand requests are a look into two dictionaries each."""

    async def work():
        broker = Counting()
        permits = HostPermits(broker, find_limits(FETCH), 1.0, regularly=True)
        for number in range(100_000):
            host = f"h{number}.example"
            assert permits.check_origin(f"{host}:80") is None
            async with permits.acquire(host) as slot:
                slot.mark_started()
                permits.report_reached(f"{host}:80")
                permits.report_response(host, 200, None)
                await slot.throttle(1)
        await permits.close()
        return broker.calls

    began_s = time.process_time()
    calls = asyncio.run(work())
    print(f"\n{(time.process_time() - began_s) * 10:.1f} us of CPU a request to a host without a limit")

    assert calls <= 5


def test_permits_come_in_batches():
    """A hundred requests to one host are a few calls, not a hundred."""

    async def work():
        broker = Counting()
        fetch = Fetch(limits={"many.example": {"connections": 50}})
        permits = HostPermits(broker, find_limits(fetch), 1.0, regularly=False)
        await take_slots(*["many.example"] * 100)(permits)
        await permits.close()
        return broker.calls

    assert asyncio.run(work()) <= 20


@pytest.mark.parametrize(
    ("host", "status", "after_s", "waits_s"),
    [
        ("other.example", 429, 0.5, 0.5),
        ("other.example", 503, 0.5, 0.5),
        ("other.example", 503, None, 0),
        ("other.example", 404, 0.5, 0),
        # A host with a limit has a lane of its own, and is waited for beyond any request's patience.
        ("two.example", 429, 1.5, 1.5),
    ],
)
def test_a_pause_is_for_everyone(host, status, after_s, waits_s):
    """A host that asked for a pause is not asked meanwhile, and others are."""

    async def work(permits):
        permits.report_response(host, status, after_s)
        began_s = time.monotonic()
        async with permits.acquire("elsewhere.example"):
            assert time.monotonic() - began_s < 0.3
        async with permits.acquire(host):
            return time.monotonic() - began_s

    assert waits_s <= run(work) < waits_s + 0.6


def test_a_long_pause_is_not_waited_for():
    """Rows of such a host have the outcome of its answer, at once."""

    async def work(permits):
        permits.report_response("other.example", 429, 60.0)
        began_s = time.monotonic()
        with pytest.raises(HostUnavailableError) as refused:
            async with permits.acquire("other.example"):
                pass
        assert time.monotonic() - began_s < 0.3
        return refused.value.outcome

    assert make_outcome("blocked", "http_429") == run(work)


def test_a_host_that_always_wants_another_pause_is_given_up(monkeypatch):
    """Even one with a lane of its own: rows that have waited for long end as it answered."""
    monkeypatch.setattr("pipelines.fetch.ratelimit.permits.MAX_HOLD_S", 1.0)

    async def work(permits):
        async def one():
            async with permits.acquire("two.example"):
                await asyncio.sleep(0.2)
                permits.report_response("two.example", 429, 0.8)

        return await asyncio.gather(*(one() for _ in range(12)), return_exceptions=True)

    ended = run(work)
    assert {None, HostUnavailableError} == {type(each) if each else None for each in ended}
    assert ended.count(None) <= 6


def test_a_request_that_gives_up_leaves_its_permit_to_others():
    """Cancelled while it waits, or while it is under way."""

    async def work(permits):
        async def hold(seconds):
            async with permits.acquire("two.example"):
                await asyncio.sleep(seconds)

        tasks = [asyncio.create_task(hold(60)) for _ in range(6)]
        await asyncio.sleep(0.1)
        for task in tasks[:5]:
            task.cancel()
        await asyncio.sleep(0.1)
        await asyncio.wait_for(hold(0), 1)
        tasks[5].cancel()
        await asyncio.wait_for(asyncio.gather(hold(0), hold(0)), 1)

    run(work)


def test_a_request_that_gives_up_before_it_has_a_slot_again():
    """Its permit is free as well."""

    async def work():
        slots = PrioritySemaphore(1)
        permits = make_permits(FETCH, slots)

        async def hold(seconds):
            async with slots, permits.acquire("two.example"):
                await asyncio.sleep(seconds)

        tasks = [asyncio.create_task(hold(60)) for _ in range(2)]
        await asyncio.sleep(0.1)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.wait_for(hold(0), 1)
        await asyncio.sleep(0.05)
        ended = len(permits._leases)
        await permits.close()
        return ended

    assert 0 == asyncio.run(work())


def test_a_broker_that_breaks_is_an_error_and_no_wait():
    """Nobody waits for ever for permits that will not come."""

    class Broken(PermitBroker):
        async def request_permits(self, *arguments):
            raise RuntimeError("broken")

    async def work():
        permits = HostPermits(Broken(), find_limits(FETCH), 1.0, regularly=False)
        try:
            async with permits.acquire("two.example"):
                pass
        finally:
            await permits.close()

    with pytest.raises(RuntimeError, match="broken"):
        asyncio.run(work())
