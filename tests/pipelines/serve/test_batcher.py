"""Questions that wait are answered together; one that is alone is not made to wait."""

import asyncio
import threading
import time

import pytest

from pipelines.serve.batcher import MicroBatcher

pytestmark = pytest.mark.anyio


async def test_what_waits_goes_together():
    """The first one goes alone; all that came meanwhile go next, in their order, at most so many."""
    seen, begun, free = [], threading.Event(), threading.Event()

    def work(questions):
        seen.append(list(questions))
        begun.set()
        free.wait(5)
        return [10 * question for question in questions]

    batches = MicroBatcher(work, 3)
    asked = [asyncio.create_task(batches.submit(number)) for number in range(6)]
    await asyncio.to_thread(begun.wait, 5)
    asked.append(asyncio.create_task(batches.submit(6)))
    await asyncio.sleep(0.01)
    free.set()

    assert [0, 10, 20, 30, 40, 50, 60] == await asyncio.gather(*asked)
    assert all(len(batch) <= 3 for batch in seen)
    assert [0, 1, 2, 3, 4, 5, 6] == [number for batch in seen for number in batch]
    assert len(seen) < 7


async def test_a_lone_question_does_not_wait():
    """No timer runs before it is answered."""
    batches = MicroBatcher(lambda questions: questions, 8)
    await batches.submit(0)
    began = time.perf_counter()
    for number in range(50):
        await batches.submit(number)

    assert 0.005 > (time.perf_counter() - began) / 50


async def test_an_error_belongs_to_its_batch_alone():
    """Those who ask next are answered."""

    def work(questions):
        if "bad" in questions:
            raise ValueError("bad")
        return questions

    batches = MicroBatcher(work, 8)
    with pytest.raises(ValueError, match="bad"):
        await batches.submit("bad")
    assert "good" == await batches.submit("good")


async def test_who_has_gone_is_not_worked_for():
    """A question whose client closed the line is left out of its batch."""
    seen, begun, free = [], threading.Event(), threading.Event()

    def work(questions):
        seen.extend(questions)
        begun.set()
        free.wait(5)
        return questions

    batches = MicroBatcher(work, 8)
    first = asyncio.create_task(batches.submit("first"))
    await asyncio.to_thread(begun.wait, 5)
    gone, stays = (asyncio.create_task(batches.submit(name)) for name in ("gone", "stays"))
    await asyncio.sleep(0)
    gone.cancel()
    free.set()

    assert ["first", "stays"] == await asyncio.gather(first, stays)
    assert ["first", "stays"] == seen
