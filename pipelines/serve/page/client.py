"""What the page asks: the deployments by their handles, or anything else that answers like them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

import numpy as np

from pipelines.errors import EcholensError, RequestRefusedError
from pipelines.serve.generation_messages import Capabilities, GenerationEvent, PageRequest
from schemas.about import About
from schemas.query import Answer, Query

T = TypeVar("T")


class LookupService(Protocol):
    """Answers queries, and says what can be asked. Bad queries raise an `EcholensError` of one sentence."""

    async def answer(self, query: Query) -> Answer:
        """Return the rows nearest to what a query asks."""
        ...

    async def about(self) -> About:
        """Return what is served."""
        ...


class GenerationService(Protocol):
    """Makes sounds of pictures and words. What cannot be made raises an `EcholensError` of one sentence."""

    async def offer(self) -> Capabilities:
        """Return what sounds can be made of."""
        ...

    def make(self, order: PageRequest) -> AsyncGenerator[GenerationEvent]:
        """Yield how far a sound is, and at last the sound; without one if it was stopped, or closed."""
        ...

    async def stop(self, job: str) -> None:
        """End a sound after the step that it is at, or take it out of the line."""
        ...


class ServiceClient:
    """A service behind the handle of its deployment.

    Args:
        handle: a `ray.serve.handle.DeploymentHandle`, whose methods are those of `LookupService`.
    """

    def __init__(self, handle: Any) -> None:
        self._handle = handle

    async def answer(self, query: Query) -> Answer:
        """Return the rows nearest to what a query asks."""
        return await _unwrapped(self._handle.answer.remote(query))

    async def about(self) -> About:
        """Return what is served."""
        return await _unwrapped(self._handle.about.remote())

    async def vector(self, picture: bytes) -> np.ndarray:
        """Return the vector of a picture as a build would store it, float16 [D]."""
        return await _unwrapped(self._handle.vector.remote(picture))


class GenerationClient:
    """A maker of sounds behind the handle of its deployment.

    Args:
        handle: a `ray.serve.handle.DeploymentHandle`, whose methods are those of `SoundMaker`.
    """

    def __init__(self, handle: Any) -> None:
        self._handle = handle

    async def offer(self) -> Capabilities:
        """Return what sounds can be made of."""
        return await _unwrapped(self._handle.offer.remote())

    async def make(self, order: PageRequest) -> AsyncGenerator[GenerationEvent]:
        """Yield how far a sound is, and at last the sound; without one if it was stopped, or closed."""
        try:
            with _ours():
                async for told in self._handle.options(stream=True).make.remote(order):
                    yield told
        finally:
            # Whoever closes this does not wait. What is over already, this leaves alone.
            self._handle.stop.remote(order.job)

    async def stop(self, job: str) -> None:
        """End a sound after the step that it is at, or take it out of the line."""
        await _unwrapped(self._handle.stop.remote(job))


async def _unwrapped(response: Awaitable[T]) -> T:
    with _ours():
        return await response


@contextmanager
def _ours() -> Iterator[None]:
    """Raise what was raised in the other process, as it was raised there."""
    from ray.exceptions import RayTaskError
    from ray.serve.exceptions import BackPressureError

    try:
        yield
    except RayTaskError as error:
        # Ray wraps it; its sentence is in there.
        if isinstance(error.cause, EcholensError):
            raise error.cause from None
        raise
    except BackPressureError:
        raise RequestRefusedError(
            503, "more questions are waiting than can be answered; ask again in a moment"
        ) from None
