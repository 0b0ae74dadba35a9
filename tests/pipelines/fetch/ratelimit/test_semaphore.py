import asyncio

import pytest

from pipelines.fetch.ratelimit.semaphore import PrioritySemaphore


async def start_rows(slots: PrioritySemaphore, names: str, begun: list[str]) -> list[asyncio.Task[None]]:
    """Start rows that take a slot, note the order in which they have one, and keep it for a moment."""

    async def row(name: str) -> None:
        async with slots:
            begun.append(name)
            await asyncio.sleep(0.01)

    tasks = [asyncio.create_task(row(name)) for name in names]
    await asyncio.sleep(0)
    return tasks


@pytest.mark.anyio
async def test_in_the_order_of_asking():
    """Never more than there are slots, and nobody is passed over."""
    begun: list[str] = []
    tasks = await start_rows(PrioritySemaphore(2), "abcdef", begun)
    at_first = [*begun]
    await asyncio.gather(*tasks)

    assert [*"ab"] == at_first
    assert [*"abcdef"] == begun


@pytest.mark.anyio
async def test_who_comes_back_goes_first():
    """A row that left its slot to others has it again before those who have not begun."""
    slots, begun = PrioritySemaphore(1), list[str]()

    async def waiting() -> None:
        async with slots:
            slots.release()
            await asyncio.sleep(0.005)
            await slots.reacquire()
            begun.append("back")

    row = asyncio.create_task(waiting())
    await asyncio.sleep(0)
    tasks = await start_rows(slots, "abc", begun)
    await asyncio.gather(row, *tasks)

    assert ["a", "back", "b", "c"] == begun


@pytest.mark.anyio
@pytest.mark.parametrize("when", ["waiting", "given", "coming back"])
async def test_no_slot_is_lost_or_made_by_a_cancelled_row(when):
    """Before it has one, in the moment of getting it, and while it wants it again."""
    slots, begun = PrioritySemaphore(1), list[str]()

    async def row() -> None:
        async with slots:
            if when == "coming back":
                slots.release()
                await asyncio.sleep(0)
                await slots.reacquire()

    (other,) = await start_rows(slots, "a", begun) if when != "coming back" else [None]
    cancelled = asyncio.create_task(row())
    await asyncio.sleep(0)
    if other is None:
        (other,) = await start_rows(slots, "a", begun)
    if when == "given":
        await other
    cancelled.cancel()
    await asyncio.gather(cancelled, other, return_exceptions=True)
    tasks = await start_rows(slots, "bc", begun)
    at_once = [*begun]
    await asyncio.gather(*tasks)

    assert ["a", "b"] == at_once
    assert ["a", "b", "c"] == begun
