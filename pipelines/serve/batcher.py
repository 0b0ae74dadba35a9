"""Whatever waits is answered together, and what is alone does not wait."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

Q = TypeVar("Q")
A = TypeVar("A")


class MicroBatcher(Generic[Q, A]):
    """Gives questions to a function that takes many: as many as came while it was at the ones before.

    Serve's own batches wait in the event loop that Serve gave them, and cost each question five of its
    metrics; here a lone question is on its way to the thread at once.

    Args:
        work: questions -> an answer each, in their order; runs in a thread of its own.
        most: questions it is given at once.
    """

    def __init__(self, work: Callable[[list[Q]], Sequence[A]], most: int) -> None:
        self._work, self._most = work, most
        self._waiting: deque[tuple[Q, asyncio.Future[A]]] = deque()
        self._thread = ThreadPoolExecutor(1)
        self._busy: asyncio.Task[None] | None = None

    async def ask(self, question: Q) -> A:
        """Return the answer to one question; raise what the work raised for its batch."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[A] = loop.create_future()
        self._waiting.append((question, answer))
        if self._busy is None:
            self._busy = loop.create_task(self._run())
        return await answer

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))]
            # Whoever asked may have gone.
            batch = [(question, answer) for question, answer in batch if not answer.done()]
            questions = [question for question, _ in batch]
            try:
                made = await loop.run_in_executor(self._thread, self._work, questions) if batch else ()
            except Exception as error:
                for _, answer in batch:
                    if not answer.done():
                        answer.set_exception(error)
            else:
                for (_, answer), one in zip(batch, made, strict=True):
                    if not answer.done():
                        answer.set_result(one)
        self._busy = None
