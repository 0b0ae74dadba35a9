"""What the page asks: the search deployment by its handle, or anything else that answers like it."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, Protocol, TypeVar

from pipelines.errors import EcholensError
from pipelines.serve.refusals import RefusedError
from schemas.about import About
from schemas.query import Answer, Query

T = TypeVar("T")


class Service(Protocol):
    """Answers queries, and says what can be asked. Bad queries raise an `EcholensError` of one sentence."""

    async def answer(self, query: Query) -> Answer:
        """Return the rows nearest to what a query asks."""
        ...

    async def about(self) -> About:
        """Return what is served."""
        ...


class Handled:
    """A service behind the handle of its deployment.

    Args:
        handle: a `ray.serve.handle.DeploymentHandle`, whose methods are those of `Service`.
    """

    def __init__(self, handle: Any) -> None:
        self._handle = handle

    async def answer(self, query: Query) -> Answer:
        """Return the rows nearest to what a query asks."""
        return await _unwrapped(self._handle.answer.remote(query))

    async def about(self) -> About:
        """Return what is served."""
        return await _unwrapped(self._handle.about.remote())


async def _unwrapped(response: Awaitable[T]) -> T:
    from ray.exceptions import RayTaskError
    from ray.serve.exceptions import BackPressureError

    try:
        return await response
    except RayTaskError as error:
        # Ray wraps what was raised in the other process; its sentence is in there.
        if isinstance(error.cause, EcholensError):
            raise error.cause from None
        raise
    except BackPressureError:
        raise RefusedError(
            503, "more questions are waiting than can be answered; ask again in a moment"
        ) from None
