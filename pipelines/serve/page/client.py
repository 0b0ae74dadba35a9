"""What the page calls: protocols of the service, and clients of its deployments by handle."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

import numpy as np

from pipelines.errors import EcholensError, RequestRefusedError
from pipelines.serve.generation_messages import Capabilities, GenerationEvent, GenerationForm, PageRequest
from schemas.about import About
from schemas.families import Column
from schemas.query import Answer, Query

T = TypeVar("T")


class LookupService(Protocol):
    """Answers queries. A bad query raises an `EcholensError` with a sentence for the user."""

    async def answer(self, query: Query) -> Answer:
        """Return the rows nearest to a query."""
        ...

    async def describe(self) -> About:
        """Return what is served."""
        ...


class GenerationService(Protocol):
    """Generates samples. A bad request raises an `EcholensError` with a sentence for the user."""

    form: GenerationForm

    async def describe(self) -> Capabilities:
        """Return what samples can be generated from."""
        ...

    def generate(self, request: PageRequest) -> AsyncGenerator[GenerationEvent]:
        """Yield the progress of a sample, then the sample; none if it was stopped or this was closed."""
        ...

    async def stop(self, job: str) -> None:
        """Stop a job after its current step, or remove it from the queue."""
        ...


class ServiceClient:
    """A client of the deployment that searches.

    Args:
        handle: a `ray.serve.handle.DeploymentHandle` with the methods of `LookupService`.
    """

    def __init__(self, handle: Any) -> None:
        self._handle = handle

    async def answer(self, query: Query) -> Answer:
        """Return the rows nearest to a query."""
        return await _unwrap(self._handle.answer.remote(query))

    async def describe(self) -> About:
        """Return what is served."""
        return await _unwrap(self._handle.describe.remote())

    async def embed_picture(self, picture: bytes, column: Column = "clip_image") -> np.ndarray:
        """Return the vector of a picture as a build would store it, float16 [D]."""
        return await _unwrap(self._handle.embed_picture.remote(picture, column))


class GenerationClient:
    """A client of the deployment that generates.

    Args:
        handle: a `ray.serve.handle.DeploymentHandle` with the methods of `GenerationService`.
        form: of its generator.
    """

    def __init__(self, handle: Any, form: GenerationForm) -> None:
        self._handle, self.form = handle, form

    async def describe(self) -> Capabilities:
        """Return what samples can be generated from."""
        return await _unwrap(self._handle.describe.remote())

    async def generate(self, request: PageRequest) -> AsyncGenerator[GenerationEvent]:
        """Yield the progress of a sample, then the sample; none if it was stopped or this was closed."""
        try:
            with _reraise_cause():
                async for event in self._handle.options(stream=True).generate.remote(request):
                    yield event
        finally:
            # Not awaited: this may run in `aclose`. No effect on a job that has ended.
            self._handle.stop.remote(request.job)

    async def stop(self, job: str) -> None:
        """Stop a job after its current step, or remove it from the queue."""
        await _unwrap(self._handle.stop.remote(job))


async def _unwrap(response: Awaitable[T]) -> T:
    with _reraise_cause():
        return await response


@contextmanager
def _reraise_cause() -> Iterator[None]:
    """Raise the original error of a remote call in place of Ray's wrapper."""
    from ray.exceptions import RayTaskError
    from ray.serve.exceptions import BackPressureError

    try:
        yield
    except RayTaskError as error:
        if isinstance(error.cause, EcholensError):
            raise error.cause from None
        raise
    except BackPressureError:
        raise RequestRefusedError(
            503, "more questions are waiting than can be answered; ask again in a moment"
        ) from None
