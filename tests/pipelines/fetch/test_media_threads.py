"""Threads give what they make back to the loop several at a time, and never keep it for long."""

import asyncio
import threading
import time

import pytest

from pipelines.fetch.media_threads import MediaThreads


def run(threads, together):
    """Run a coroutine with so many threads."""

    async def main():
        made = MediaThreads(threads, asyncio.get_running_loop())
        try:
            return await asyncio.wait_for(together(made), 20)
        finally:
            made.close()

    return asyncio.run(main())


@pytest.mark.parametrize("count", [1, 3], ids="{} threads".format)
def test_everyone_gets_the_own_result(count):
    """A thousand jobs of no length, and every error belongs to the job that raised it."""

    def half(number):
        if number % 10 == 3:
            raise ValueError(number)
        return number / 2

    async def together(threads):
        return await asyncio.gather(*(threads.run(half, n) for n in range(1000)), return_exceptions=True)

    made = run(count, together)
    expected = [f"ValueError({n})" if n % 10 == 3 else repr(n / 2) for n in range(1000)]
    assert expected == list(map(repr, made))


def test_results_of_short_jobs_come_together():
    """While there is more to do the loop is woken once for several."""
    woken = []

    async def together(threads):
        loop = asyncio.get_running_loop()
        call = loop.call_soon_threadsafe
        loop.call_soon_threadsafe = lambda *arguments: (woken.append(arguments), call(*arguments))
        await asyncio.gather(*(threads.run(time.sleep, 0.001) for _ in range(64)))

    run(1, together)
    assert 8 <= len(woken) <= 24


def test_nothing_waits_for_long_jobs():
    """What was made after a fiftieth of a second is given at once, though much is left to do."""
    ended_s = []

    async def one(threads):
        await threads.run(time.sleep, 0.1)
        ended_s.append(time.monotonic())

    async def together(threads):
        begun_s = time.monotonic()
        await asyncio.gather(*(one(threads) for _ in range(5)))
        return begun_s

    begun_s = run(1, together)
    assert ended_s[1] - begun_s < 0.29
    assert ended_s[3] - begun_s < 0.49


def test_what_nobody_waits_for_is_not_begun():
    """A job that is cancelled before its turn is left out; the one under way is finished."""
    begun = []
    at_work, free = threading.Event(), threading.Event()

    def work(number):
        begun.append(number)
        at_work.set()
        free.wait(10)
        return number

    async def together(threads):
        first, second = (asyncio.create_task(threads.run(work, number)) for number in (1, 2))
        await asyncio.to_thread(at_work.wait, 10)
        second.cancel()
        await asyncio.sleep(0)
        free.set()
        return await first, await threads.run(work, 3)

    assert (1, 3) == run(1, together)
    assert [1, 3] == begun


def test_closing_waits_for_what_is_under_way():
    """Its result has nobody left to go to, and that is no error."""
    ended = []

    async def together(threads):
        task = asyncio.create_task(threads.run(lambda: (time.sleep(0.1), ended.append(1))))
        await asyncio.sleep(0.02)
        task.cancel()
        await asyncio.sleep(0)

    run(1, together)
    assert [1] == ended
