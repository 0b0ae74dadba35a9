"""The service on Ray Serve: replicas that search, and beside them one for the page and one for its sounds.

    Service   replicas that map the index; each answers HTTP at the service's port, in its own process
    Page      one replica without an index, behind Serve's proxy on loopback; asks the others by their handles
    Sounds    one replica with a generator that makes the page's sounds; asks a Service for vectors

A further replica takes the memory of an encoder, not of an index: all of a node map the same files.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray
from ray import serve

from pipelines.compute import cpu
from pipelines.errors import ConfigError, StopJob
from pipelines.serve.settings import ServiceSettings
from schemas.dataset import Dataset

if TYPE_CHECKING:
    import numpy as np

    from pipelines.lookup.media import Medium
    from pipelines.serve.access import ASGI
    from pipelines.serve.generation_messages import Capabilities, GenerationEvent, PageRequest
    from schemas.about import About
    from schemas.query import Answer, Query

NAME = "echolens"
PAGE = "page"
SOUNDS = "sounds"

# Calls of the page in one replica at once; clients over HTTP have a limit of their own.
_ONGOING = 128
_GRACE_S = 10.0
_LOGGING = {"log_level": "WARNING", "enable_access_log": False}


class LookupDeployment:
    """A replica: answers over HTTP, and to the page by its handle.

    Args:
        dataset: as its root has it.
        settings: of the service.
        folder: of its metrics.
        inner: Serve's proxy, behind which the page is; None without a page.
        threads: to compute with.
    """

    async def __init__(  # type: ignore[misc]
        self, dataset: Dataset, settings: ServiceSettings, folder: Path, inner: str | None, threads: int
    ) -> None:
        from pipelines.serve.api import make_api
        from pipelines.serve.http_server import HttpServer
        from pipelines.serve.replica import SearchReplica

        cpu.limit_cpus(threads)
        self._search = await asyncio.to_thread(SearchReplica, dataset, settings, folder)
        self._search.watch()
        self._door = HttpServer(settings)
        self._door.open(make_api(self._search, inner))

    async def answer(self, query: Query) -> Answer:
        """Return the rows nearest to what a query asks."""
        return await self._search.answer(query)

    async def media(self, key: str, medium: Medium = "picture") -> tuple[bytes, str]:
        """Return the bytes of a row's picture or sound, and their content type."""
        return await self._search.media(key, medium)

    async def vector(self, picture: bytes) -> np.ndarray:
        """Return the vector of a picture as a build would store it, float16 [D]."""
        return await self._search.vector(picture)

    async def about(self) -> About:
        """Return what is served."""
        return await self._search.about()

    def check_health(self) -> None:
        """Raise if this replica is to be replaced."""
        self._search.check_health()
        self._door.check()

    async def __del__(self) -> None:
        """Answer what is under way; Serve waits for it."""
        if hasattr(self, "_door"):
            await self._door.close()


class GenerationDeployment:
    """The replica with the generator: a process of its own, so that nobody else waits for a sound.

    Args:
        dataset: as its root has it.
        settings: of the service.
    """

    async def __init__(self, dataset: Dataset, settings: ServiceSettings) -> None:  # type: ignore[misc]
        from pipelines.serve.generation import GenerationQueue
        from pipelines.serve.page.client import ServiceClient

        assert settings.generator is not None
        # A sound has one core, so that its last bits do not depend on how many there are.
        cpu.limit_cpus(1)
        encoded = ServiceClient(serve.get_app_handle(NAME)).vector
        waiting = settings.limits.sounds_waiting
        self._maker = GenerationQueue(dataset, settings.generator, settings.steps, waiting, encoded)
        await asyncio.to_thread(self._maker.open)

    async def offer(self) -> Capabilities:
        """Return what sounds can be made of."""
        return await self._maker.offer()

    async def make(self, order: PageRequest) -> AsyncIterator[GenerationEvent]:
        """Yield how far a sound is, and at last the sound."""
        async with aclosing(self._maker.make(order)) as making:
            async for told in making:
                yield told

    async def stop(self, job: str) -> None:
        """End a sound after the step that it is at."""
        await self._maker.stop(job)


@serve.ingress()
class PageDeployment:
    """The page's replica."""

    async def __init__(self, settings: ServiceSettings) -> None:  # type: ignore[misc]
        self._settings = settings

    async def __serve_build_asgi_app__(self) -> ASGI:
        from pipelines.serve.access import AccessControl
        from pipelines.serve.page.app import mount_page

        sounds = serve.get_app_handle(SOUNDS) if self._settings.generator else None
        app = mount_page(serve.get_app_handle(NAME), f"/{PAGE}", self._settings.limits, sounds)
        # Requests were counted where they came in; here all of them come from the replicas.
        return AccessControl(app, self._settings, metered=lambda _: False)


@contextmanager
def run_service(dataset: Dataset, settings: ServiceSettings) -> Iterator[str]:
    """Serve a dataset for as long as the block lasts; its address. Ray must be up, and the address free.

    Raises:
        ConfigError: the cluster serves something already.
        StopJob: the replicas did not start.
    """
    logging.getLogger("ray.serve").setLevel(logging.ERROR)
    if serve.status().applications:
        raise ConfigError("this Ray cluster serves something already; stop that, or unset RAY_ADDRESS")
    folder = Path(tempfile.mkdtemp(prefix="echolens-metrics-"))
    inner = _free_port() if settings.page else None
    try:
        serve.start(
            proxy_location="HeadOnly" if inner else "Disabled",
            http_options={"host": "127.0.0.1", "port": inner} if inner else None,
            logging_config=_LOGGING,
        )
        _run(NAME, None, _service(dataset, settings, folder, inner))
        if settings.page and settings.generator:
            _run(SOUNDS, None, _sounds(dataset, settings))
        if settings.page:
            _run(PAGE, f"/{PAGE}", _page(settings))
        _check_answers(settings)
        yield settings.address
    finally:
        for name in serve.status().applications:
            serve.delete(name)
        # A cluster of our own ends with the job; another's is left as it was found.
        if "RAY_ADDRESS" in os.environ:
            serve.shutdown()  # type: ignore[no-untyped-call]
        shutil.rmtree(folder, ignore_errors=True)


def _service(dataset: Dataset, settings: ServiceSettings, folder: Path, inner: int | None) -> Any:
    cpus = float(ray.cluster_resources().get("CPU", 1))  # type: ignore[no-untyped-call]
    deployment: Any = serve.deployment(
        LookupDeployment,
        name="Service",
        num_replicas=settings.replicas,
        ray_actor_options={"num_cpus": min(1.0, int(100 * cpus / settings.replicas) / 100)},
        max_ongoing_requests=_ONGOING,
        graceful_shutdown_timeout_s=_GRACE_S,
        health_check_period_s=2,
    )
    to = f"http://127.0.0.1:{inner}" if inner else None
    return deployment.bind(dataset, settings, folder, to, max(1, int(cpus / settings.replicas)))


def _sounds(dataset: Dataset, settings: ServiceSettings) -> Any:
    gpus = float(ray.cluster_resources().get("GPU", 0))  # type: ignore[no-untyped-call]
    deployment: Any = serve.deployment(
        GenerationDeployment,
        name="Sounds",
        num_replicas=1,
        ray_actor_options={"num_cpus": 0, "num_gpus": min(1.0, gpus)},
        # All of the line are requests under way, and so is one more for as long as it takes to refuse it.
        max_ongoing_requests=_ONGOING,
        max_queued_requests=_ONGOING,
        graceful_shutdown_timeout_s=_GRACE_S,
    )
    return deployment.bind(dataset, settings)


def _page(settings: ServiceSettings) -> Any:
    deployment: Any = serve.deployment(
        PageDeployment,
        name="Page",
        num_replicas=1,
        ray_actor_options={"num_cpus": 0},
        max_ongoing_requests=_ONGOING,
        graceful_shutdown_timeout_s=_GRACE_S,
    )
    return deployment.bind(settings)


def _run(name: str, prefix: str | None, application: Any) -> None:
    try:
        serve.run(application, name=name, route_prefix=prefix, logging_config=_LOGGING)
    except RuntimeError as error:
        deployments = serve.status().applications[name].deployments.values()
        said = next((one.message for one in deployments if one.message), str(error))
        # The last line of a traceback is what a replica failed with.
        lines = [line.strip() for line in said.splitlines() if line.strip()]
        why = lines[-1].rpartition("Error: ")[2] if lines else type(error).__name__
        raise StopJob(f"the service did not start: {why}") from error


def _check_answers(settings: ServiceSettings) -> None:
    """On a cluster the replicas may run on other nodes than this one."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104
    try:
        socket.create_connection((host, settings.port), 10).close()
    except OSError as error:
        raise StopJob(
            f"no replica answers at {settings.address}: they run on other nodes of the cluster; give "
            "--host 0.0.0.0 and ask them there"
        ) from error


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])
