import asyncio
import time

from pipelines.fetch.ratelimit import broker
from pipelines.fetch.ratelimit.broker import PermitBroker, PermitReport
from pipelines.fetch.ratelimit.leases import HostHold
from pipelines.fetch.ratelimit.limits import HostLimits
from schemas.dataset import HostLimit
from schemas.outcome import make_outcome

HOST = "a.example"
TWO = HostLimits(((HOST, HostLimit(connections=2)),))


def test_who_waits_has_a_permit_as_soon_as_one_is_returned():
    """Not with the next poll, but with the report that returns it."""

    async def work():
        permits = PermitBroker()
        first, second = await permits.request_permits("w", HOST, 2, TWO)
        waiting = asyncio.create_task(permits.request_permits("v", HOST, 1, TWO))
        await asyncio.sleep(0.02)
        assert not waiting.done()
        began_s = time.monotonic()
        await permits.sync(PermitReport("w", TWO, ended=[first.lease], leases={second.lease: HOST}))
        return await waiting, time.monotonic() - began_s

    granted, waited_s = asyncio.run(work())
    assert 1 == len(granted)
    assert waited_s < broker.POLL_S / 4


def test_a_request_without_a_permit_ends(monkeypatch):
    """So that a worker that died waits no longer."""
    monkeypatch.setattr(broker, "POLL_S", 0.05)

    async def work():
        permits = PermitBroker()
        await permits.request_permits("w", HOST, 2, TWO)
        return await permits.request_permits("v", HOST, 1, TWO)

    assert [] == asyncio.run(work())


def test_a_permit_that_is_free_by_time_needs_no_report():
    """A window that has passed is enough."""
    limits = HostLimits(((HOST, HostLimit(delay_s=0.1)),))

    async def work():
        permits = PermitBroker()
        (first,) = await permits.request_permits("w", HOST, 5, limits)
        await permits.sync(PermitReport("w", limits, ended=[first.lease]))
        began_s = time.monotonic()
        granted = await permits.request_permits("w", HOST, 5, limits)
        return granted, time.monotonic() - began_s

    granted, waited_s = asyncio.run(work())
    assert 1 == len(granted)
    assert 0.05 <= waited_s < broker.POLL_S / 4


def test_a_report_reaches_the_other_workers():
    """What one worker found holds for all, until one reports that the origin has recovered."""
    down = HostHold(30, make_outcome("transient", "connection_refused"), down=True)

    async def work():
        permits = PermitBroker()
        await permits.sync(PermitReport("w", TWO, holds={"down.example:80": down}))
        first = await permits.sync(PermitReport("v", TWO))
        await permits.sync(PermitReport("w", TWO, recovered=["down.example:80"]))
        return first, await permits.sync(PermitReport("v", TWO, since=first.serial))

    first, second = asyncio.run(work())
    assert first.holds["down.example:80"].outcome == down.outcome
    assert (TWO,) == first.limits
    assert {"down.example:80": None} == second.holds
