import asyncio
import time

import pytest

from pipelines.errors import ConfigError
from pipelines.fetch.video.session import ProxySession
from schemas.outcome import make_outcome

REFUSED = make_outcome("transient", "connection_refused")
PRIVATE = make_outcome("blocked", "private_address")


def make_session(max_bytes=1000, timeout_s=60.0):
    return ProxySession("http://token:@127.0.0.1:1", "a.example", max_bytes, timeout_s)


@pytest.mark.anyio
async def test_a_failure_stands_until_a_connection_is_made():
    """A client may try the next address; a final failure stays whatever comes later."""
    session = make_session()
    session.fail(REFUSED)
    session.report_reached()
    assert session.failure is None
    session.fail(PRIVATE)
    session.report_reached()
    session.fail(REFUSED)
    assert (PRIVATE, True) == (session.failure, session.final)
    session.close()


@pytest.mark.anyio
async def test_an_error_of_ours_is_final():
    """It ends the job, not the row."""
    session = make_session()
    session.fail(ConfigError("no contact"))
    session.fail(REFUSED)

    assert isinstance(session.failure, ConfigError)
    session.close()


@pytest.mark.anyio
async def test_bytes_up_to_the_cap():
    """All connections together."""
    session = make_session(max_bytes=10)
    session.count_bytes(6)
    session.count_bytes(4)
    assert not session.over.done()
    session.count_bytes(1)

    assert session.over.done()
    assert make_outcome("invalid", "too_many_bytes") == session.failure


@pytest.mark.anyio
async def test_waiting_for_permits_does_not_count():
    """The deadline is later by the time of the pause, also where pauses overlap."""
    session, began_s = make_session(timeout_s=0.1), time.monotonic()
    with session.pause_clock():
        with session.pause_clock():
            await asyncio.sleep(0.15)
        await asyncio.sleep(0.05)
    assert not session.over.done()
    await session.over

    assert 0.29 <= time.monotonic() - began_s < 2
    assert make_outcome("transient", "timeout") == session.failure


@pytest.mark.anyio
async def test_tasks_end_with_the_session():
    """Those that are bound are cancelled, and later ones are refused."""
    session = make_session()

    async def relay():
        with session.bind_task():
            await asyncio.sleep(60)

    task = asyncio.create_task(relay())
    await asyncio.sleep(0)
    session.close()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(EOFError), session.bind_task():
        pass
