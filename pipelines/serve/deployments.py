"""The service's deployments on Ray Serve.

    Service   replicas that map the index; each runs its own HTTP server on the service's shared port
    Page      one replica without an index, at a Unix socket behind Service; calls the others by handle
    Generate  one replica with a generator for the page; calls Service for the vectors of pictures

Another Service replica costs the memory of an encoder, not of an index: those on one node map the same files.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
import shutil
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray
from ray import serve

from pipelines.compute import cpu
from pipelines.errors import ConfigError, StopJob
from pipelines.run.short_folder import make_short_folder
from pipelines.serve.liveness import end_when_blocked
from pipelines.serve.settings import ServiceSettings
from schemas.dataset import Dataset
from schemas.families import Column

if TYPE_CHECKING:
    import numpy as np

    from pipelines.lookup.media import Medium
    from pipelines.serve.generation_messages import Capabilities, GenerationEvent, PageRequest
    from schemas.about import About
    from schemas.query import Answer, Query

NAME = "echolens"
PAGE = "page"
GENERATE = "generate"

# Concurrent calls by handle in one replica; HTTP clients have a limit of their own.
_ONGOING = 128
_GRACE_S = 10.0
# The longest path of a Unix socket.
_SOCKET_BYTES = 107
# A blocked event loop is given up after so long; loading an encoder in a thread holds it for seconds.
_LOOKUP_BLOCKED_S = 120.0
_PAGE_BLOCKED_S = 20.0
_LOGGING = {"log_level": "WARNING", "enable_access_log": False}


class LookupDeployment:
    """A replica that searches, called over HTTP and, by the page, through its handle.

    Args:
        dataset: as stored in its root.
        settings: of the service.
        folder: for the metrics of all replicas.
        page_socket: where the page answers; None without a page.
        threads: for computing.
    """

    async def __init__(  # type: ignore[misc]
        self,
        dataset: Dataset,
        settings: ServiceSettings,
        folder: Path,
        page_socket: Path | None,
        threads: int,
    ) -> None:
        from pipelines.serve.api import make_api
        from pipelines.serve.http_server import HttpServer
        from pipelines.serve.replica import SearchReplica

        _keep_on_loopback()
        cpu.limit_cpus(threads)
        self._replica = await asyncio.to_thread(SearchReplica, dataset, settings, folder)
        self._replica.watch()
        self._server = HttpServer.bind_port(settings)
        self._server.open(make_api(self._replica, page_socket))
        await self._server.wait_open()
        end_when_blocked(_LOOKUP_BLOCKED_S)

    async def answer(self, query: Query) -> Answer:
        """Return the rows nearest to a query."""
        return await self._replica.answer(query)

    async def read_media(self, key: str, medium: Medium = "picture") -> tuple[bytes, str]:
        """Return the bytes of a row's picture or sound, and their content type."""
        return await self._replica.read_media(key, medium)

    async def embed_picture(self, picture: bytes, column: Column = "clip_image") -> np.ndarray:
        """Return the vector of a picture as a build would store it, float16 [D]."""
        return await self._replica.embed_picture(picture, column)

    async def describe(self) -> About:
        """Return what is served."""
        return await self._replica.describe()

    def check_health(self) -> None:
        """Raise if Serve should replace this replica."""
        self._replica.check_health()
        self._server.check()

    async def __del__(self) -> None:
        """Finish the requests in flight; Serve waits for this."""
        if hasattr(self, "_server"):
            await self._server.close()


class GenerationDeployment:
    """The replica with the generator, in its own process so that generating delays no search.

    Args:
        dataset: as stored in its root.
        settings: of the service.
    """

    async def __init__(self, dataset: Dataset, settings: ServiceSettings) -> None:  # type: ignore[misc]
        from pipelines.serve.generation import GenerationQueue
        from pipelines.serve.page.client import ServiceClient

        _keep_on_loopback()
        assert settings.generator is not None
        assert settings.params is not None
        # One core for a sample, so that its last bits do not depend on the number of cores.
        cpu.limit_cpus(1)
        embed = ServiceClient(serve.get_app_handle(NAME)).embed_picture
        max_waiting = settings.limits.samples_waiting
        self._queue = GenerationQueue(dataset, settings.generator, settings.params, max_waiting, embed)
        await asyncio.to_thread(self._queue.open)

    async def describe(self) -> Capabilities:
        """Return what samples can be generated from."""
        return await self._queue.describe()

    async def generate(self, request: PageRequest) -> AsyncIterator[GenerationEvent]:
        """Yield the progress of a sample, then the sample."""
        async with aclosing(self._queue.generate(request)) as events:
            async for event in events:
                yield event

    async def stop(self, job: str) -> None:
        """Stop a job after its current step."""
        await self._queue.stop(job)


class PageDeployment:
    """The page's replica. Gradio keeps a visitor's session in one process, so there is only one.

    Args:
        settings: of the service.
        path: of its Unix socket, in a folder that only this user may enter: requests arrive through Service
            alone, which has checked them.
    """

    async def __init__(self, settings: ServiceSettings, path: Path) -> None:  # type: ignore[misc]
        from pipelines.serve.generation_messages import GenerationForm
        from pipelines.serve.http_server import HttpServer
        from pipelines.serve.page.app import mount_page
        from pipelines.serve.page.client import GenerationClient

        _keep_on_loopback()
        generation = None
        if settings.generator and settings.params:
            form = GenerationForm.from_generator(settings.generator, settings.params)
            generation = GenerationClient(serve.get_app_handle(GENERATE), form)
        handle = serve.get_app_handle(NAME)
        app = mount_page(handle, f"/{PAGE}", settings.limits, generation, path.parent)
        self._server = HttpServer.bind_path(path)
        self._server.open(app, has_lifespan=True)
        # Else the first visitor could come before the page listens.
        await self._server.wait_open()
        end_when_blocked(_PAGE_BLOCKED_S)

    def check_health(self) -> None:
        """Raise if Serve should replace this replica."""
        self._server.check()

    async def __del__(self) -> None:
        """Finish the requests in flight; Serve waits for this."""
        if hasattr(self, "_server"):
            await self._server.close()


def _keep_on_loopback() -> None:
    """On a Ray that listens on loopback alone, have Serve's server in this replica do so, too."""
    address: str = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
    if not address.startswith("127."):
        return
    replica: Any = importlib.import_module("ray.serve._private.replica")
    add_port = replica.add_port_to_grpc_server
    # Serve has no setting for it, and starts that server once this replica is made.
    replica.add_port_to_grpc_server = lambda server, _: add_port(server, "127.0.0.1:0")


@contextmanager
def run_service(dataset: Dataset, settings: ServiceSettings) -> Iterator[str]:
    """Serve a dataset while the block runs; yield the address. Ray must be up, and the address free.

    Raises:
        ConfigError: the cluster serves something already.
        StopJob: the replicas did not start.
    """
    logging.getLogger("ray.serve").setLevel(logging.ERROR)
    if serve.status().applications:
        raise ConfigError("this Ray cluster serves something already; stop that, or unset RAY_ADDRESS")
    folder = make_short_folder("echolens-serve-", _SOCKET_BYTES - len("/page.sock"))
    page_socket = folder / "page.sock" if settings.page else None
    try:
        serve.start(
            proxy_location="Disabled",
            logging_config=_LOGGING,
        )
        _run_application(NAME, _bind_lookup(dataset, settings, folder, page_socket))
        if settings.page and settings.generator:
            _run_application(GENERATE, _bind_generation(dataset, settings))
        if page_socket:
            _run_application(PAGE, _bind_page(settings, page_socket))
        _check_answers(settings)
        yield settings.address
    finally:
        for name in serve.status().applications:
            serve.delete(name)
        # Our own cluster ends with the job; somebody else's must be left as it was.
        if "RAY_ADDRESS" in os.environ:
            serve.shutdown()  # type: ignore[no-untyped-call]
        shutil.rmtree(folder, ignore_errors=True)


def _bind_lookup(dataset: Dataset, settings: ServiceSettings, folder: Path, page_socket: Path | None) -> Any:
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
    return deployment.bind(dataset, settings, folder, page_socket, max(1, int(cpus / settings.replicas)))


def _bind_generation(dataset: Dataset, settings: ServiceSettings) -> Any:
    gpus = float(ray.cluster_resources().get("GPU", 0))  # type: ignore[no-untyped-call]
    deployment: Any = serve.deployment(
        GenerationDeployment,
        name="Generate",
        num_replicas=1,
        ray_actor_options={"num_cpus": 0, "num_gpus": min(1.0, gpus)},
        # Every queued sample is an ongoing request, and so is one more until the full queue refuses it.
        max_ongoing_requests=_ONGOING,
        max_queued_requests=_ONGOING,
        graceful_shutdown_timeout_s=_GRACE_S,
    )
    return deployment.bind(dataset, settings)


def _bind_page(settings: ServiceSettings, path: Path) -> Any:
    deployment: Any = serve.deployment(
        PageDeployment,
        name="Page",
        num_replicas=1,
        # On the head node, beside the replicas that forward to its socket.
        ray_actor_options={"num_cpus": 0, "resources": {"node:__internal_head__": 0.001}},
        max_ongoing_requests=_ONGOING,
        graceful_shutdown_timeout_s=_GRACE_S,
        health_check_period_s=2,
        health_check_timeout_s=_PAGE_BLOCKED_S,
    )
    return deployment.bind(settings, path)


def _run_application(name: str, application: Any) -> None:
    try:
        serve.run(application, name=name, route_prefix=None, logging_config=_LOGGING)
    except RuntimeError as error:
        deployments = serve.status().applications[name].deployments.values()
        message = next((one.message for one in deployments if one.message), str(error))
        # The error of the replica is the last line of the traceback in the message.
        lines = [line.strip() for line in message.splitlines() if line.strip()]
        reason = lines[-1].rpartition("Error: ")[2] if lines else type(error).__name__
        raise StopJob(f"the service did not start: {reason}") from error


def _check_answers(settings: ServiceSettings) -> None:
    """Raise StopJob if no replica listens on this node: on a cluster they may run on others."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104
    try:
        socket.create_connection((host, settings.port), 10).close()
    except OSError as error:
        raise StopJob(
            f"no replica answers at {settings.address}: they run on other nodes of the cluster; give "
            "--host 0.0.0.0 with --token-env, and ask them there"
        ) from error
