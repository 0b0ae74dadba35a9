"""A replica's own HTTP server: all of a node listen at one port, and the kernel deals connections out.

Serve's proxy would be one more process on the way, through which every request is pickled twice: it costs
more than the search does. Serve starts, watches and replaces the replicas all the same.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import uvicorn

from pipelines.errors import ConfigError

if TYPE_CHECKING:
    from pipelines.serve.access import ASGI
    from pipelines.serve.settings import ServiceSettings

_BACKLOG = 1024
# What is under way may end within this when a replica is stopped.
_GRACE_S = 5


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to Ray."""
        yield


class HttpServer:
    """Listens from its making on; answers once it is opened.

    Args:
        settings: say where.
    """

    def __init__(self, settings: ServiceSettings) -> None:
        self._socket = socket.socket(_family(settings), socket.SOCK_STREAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self._socket.bind((settings.host, settings.port))
        self._server: _Server | None = None
        self._serving: asyncio.Task[None] | None = None

    def open(self, app: ASGI) -> None:
        """Begin to answer, in the running loop."""
        config = uvicorn.Config(
            app,
            backlog=_BACKLOG,
            lifespan="off",
            access_log=False,
            log_config=None,
            server_header=False,
            timeout_graceful_shutdown=_GRACE_S,
        )
        self._server = _Server(config)
        self._serving = asyncio.get_running_loop().create_task(self._server.serve([self._socket]))

    def check(self) -> None:
        """Raise if it no longer answers."""
        if self._serving and self._serving.done():
            self._serving.result()
            raise RuntimeError("this replica no longer listens")

    async def close(self) -> None:
        """Take no more connections, and wait for what is under way."""
        if self._server and self._serving:
            self._server.should_exit = True
            await asyncio.wait([self._serving], timeout=_GRACE_S + 1)


def _family(settings: ServiceSettings) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in settings.host else socket.AF_INET


def check_free(settings: ServiceSettings) -> None:
    """Refuse an address that another has: replicas share theirs, so they would not notice.

    Raises:
        ConfigError: it is taken, or none of this machine.
    """
    with socket.socket(_family(settings), socket.SOCK_STREAM) as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind((settings.host, settings.port))
        except OSError as error:
            is_taken = error.errno == errno.EADDRINUSE
            wanted = "another --port" if is_taken else "an address of this machine as --host"
            raise ConfigError(
                f"{settings.host}:{settings.port} cannot be listened at ({error.strerror}); give {wanted}"
            ) from error
