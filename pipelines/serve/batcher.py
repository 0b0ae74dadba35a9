"""Dynamic micro-batching: a lone request is not delayed."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

Request = TypeVar("Request")
Response = TypeVar("Response")


class MicroBatcher(Generic[Request, Response]):
    """Calls a batch function with the requests that arrived during its previous call.

    Serve's own batching waits in an event loop of Serve's and updates five metrics a request; here a lone
    request is passed to the thread at once.

    Args:
        work: requests -> their responses, in order; runs in a thread of its own.
        max_batch: requests in one call.
    """

    def __init__(self, work: Callable[[list[Request]], Sequence[Response]], max_batch: int) -> None:
        self._work, self._max_batch = work, max_batch
        self._queue: deque[tuple[Request, asyncio.Future[Response]]] = deque()
        self._thread = ThreadPoolExecutor(1)
        self._task: asyncio.Task[None] | None = None

    async def submit(self, request: Request) -> Response:
        """Return the response to one request; raise the error of its batch."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Response] = loop.create_future()
        self._queue.append((request, future))
        if self._task is None:
            self._task = loop.create_task(self._run())
        return await future

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while self._queue:
            batch = [self._queue.popleft() for _ in range(min(self._max_batch, len(self._queue)))]
            # Futures of clients that have disconnected are cancelled.
            batch = [(request, future) for request, future in batch if not future.done()]
            requests = [request for request, _ in batch]
            try:
                responses = await loop.run_in_executor(self._thread, self._work, requests) if batch else ()
            except Exception as error:
                for _, future in batch:
                    if not future.done():
                        future.set_exception(error)
            else:
                for (_, future), response in zip(batch, responses, strict=True):
                    if not future.done():
                        future.set_result(response)
        self._task = None
