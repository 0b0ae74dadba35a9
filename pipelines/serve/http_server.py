"""A replica's own HTTP server: replicas share one port (SO_REUSEPORT), and the kernel balances connections.

Serve's proxy would be one more process in between, which pickles every request twice: that costs more than
the search does. Serve still starts, monitors and replaces the replicas.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import uvicorn

from pipelines.errors import ConfigError
from pipelines.serve.connections import ConnectionGuard, GuardedProtocol

if TYPE_CHECKING:
    from pipelines.serve.access import ASGI
    from pipelines.serve.settings import ServiceSettings

_BACKLOG = 1024
# Grace period for requests in flight when a replica is stopped.
_GRACE_S = 5
_CHECK_S = 0.02


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signal handlers to Ray."""
        yield


class HttpServer:
    """An HTTP server that listens from construction on, and answers once it is opened.

    Args:
        listening: a bound socket, which is closed with the server.
        settings: of the service, whose limits its connections have; None for a server behind another.
    """

    def __init__(self, listening: socket.socket, settings: ServiceSettings | None = None) -> None:
        self._socket, self._settings = listening, settings
        self._server: _Server | None = None
        self._task: asyncio.Task[None] | None = None

    @classmethod
    def bind_port(cls, settings: ServiceSettings) -> Self:
        """Return a server at the service's address, which all replicas share."""
        listening = socket.socket(_choose_family(settings), socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listening.bind((settings.host, settings.port))
        return cls(listening, settings)

    @classmethod
    def bind_path(cls, path: Path) -> Self:
        """Return a server at a Unix socket; one that an earlier server left there is replaced.

        Raises:
            ConfigError: the path is longer than the system takes.
        """
        path.unlink(missing_ok=True)
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listening.bind(os.fspath(path))
        except OSError as error:
            listening.close()
            raise ConfigError(
                f"no socket can be made at {path} ({error}); set TMPDIR to a shorter folder of this machine"
            ) from error
        return cls(listening)

    def open(self, app: ASGI, *, has_lifespan: bool = False) -> None:
        """Start to answer with an application, in the running event loop.

        Args:
            app: answers the requests.
            has_lifespan: whether it has to be started and ended.
        """
        options: dict[str, Any] = {"proxy_headers": True, "forwarded_allow_ips": "*"}
        if settings := self._settings:
            guard = ConnectionGuard(settings.limits, settings.is_proxy)
            proxies = {"proxy_headers": bool(settings.proxies), "forwarded_allow_ips": list(settings.proxies)}
            options = {"http": partial(GuardedProtocol, guard), **proxies}
        config = uvicorn.Config(
            app,
            # A handshake would be beyond the limits, and nothing here speaks it.
            ws="none",
            **options,
            backlog=_BACKLOG,
            lifespan="on" if has_lifespan else "off",
            access_log=False,
            log_config=None,
            server_header=False,
            timeout_graceful_shutdown=_GRACE_S,
        )
        self._server = _Server(config)
        self._task = asyncio.get_running_loop().create_task(self._server.serve([self._socket]))

    async def wait_open(self) -> None:
        """Wait until a client can connect.

        Raises:
            RuntimeError: the server has ended.
        """
        while not (self._server and self._server.started):
            self.check()
            await asyncio.sleep(_CHECK_S)

    def check(self) -> None:
        """Raise if the server has ended."""
        if self._task and self._task.done():
            self._task.result()
            raise RuntimeError("this replica no longer listens")

    async def close(self) -> None:
        """Accept no more connections, and wait for the requests in flight."""
        if self._server and self._task:
            self._server.should_exit = True
            await asyncio.wait([self._task], timeout=_GRACE_S + 1)


def _choose_family(settings: ServiceSettings) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in settings.host else socket.AF_INET


def check_free(settings: ServiceSettings) -> None:
    """Check that no other process has the address: replicas, which share theirs, would not notice.

    Raises:
        ConfigError: the address is in use, or is not one of this machine.
    """
    with socket.socket(_choose_family(settings), socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            is_taken = error.errno == errno.EADDRINUSE
            remedy = "another --port" if is_taken else "an address of this machine as --host"
            raise ConfigError(
                f"{settings.host}:{settings.port} cannot be listened at ({error.strerror}); give {remedy}"
            ) from error
