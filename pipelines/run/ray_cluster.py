"""The one place that starts Ray or connects to one: it tries twice, and says in one sentence what failed."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from urllib.parse import urlsplit

from pipelines.errors import ConfigError, StopJob
from pipelines.run.local_ray import run_local_ray
from pipelines.run.ray_core import discard_stderr, find_token

_CONNECT_TIMEOUT_S = 10
_SHOWN_CHARS = 200


@contextmanager
def run_ray() -> Iterator[None]:
    """Be connected to the cluster of RAY_ADDRESS, or to one of our own, while the block runs.

    Raises:
        ConfigError: RAY_ADDRESS names no cluster that lets us in, or there is no room for a Ray of our own.
        StopJob: Ray does not start on this machine.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    options: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    address = os.environ.get("RAY_ADDRESS")
    with ExitStack() as stack:
        if address and address != "local":
            stack.enter_context(_connect(address, options))
        else:
            try:
                stack.enter_context(run_local_ray(**options))
            except StopJob:
                # What had to be read from the disk the first time is in memory now.
                stack.enter_context(run_local_ray(**options))
        yield


@contextmanager
def _connect(address: str, options: dict[str, Any]) -> Iterator[None]:
    import ray

    _check_address(address)
    try:
        try:
            with discard_stderr():
                ray.init(address, **options)
        except Exception as error:
            # Ray raises anything, down to Exception itself.
            reason = " ".join(str(error).split())[:_SHOWN_CHARS]
            raise ConfigError(
                f"the cluster at RAY_ADDRESS={address} does not let this job in ({reason}); start it with "
                "the Ray and the Python of this machine, or unset RAY_ADDRESS to use this machine alone"
            ) from error
        yield
    finally:
        ray.shutdown()


def _check_address(address: str) -> None:
    """Refuse an address at which nothing listens; Ray would retry for minutes and log every attempt."""
    url = urlsplit(address if "://" in address else f"ray://{address}")
    try:
        host, port = url.hostname, url.port
    except ValueError as error:
        raise ConfigError(f"RAY_ADDRESS={address} is no address ({error}); write HOST:PORT") from error
    if host is None or port is None:
        return  # "auto" is resolved by Ray
    try:
        socket.create_connection((host, port), _CONNECT_TIMEOUT_S).close()
    except OSError as error:
        raise ConfigError(
            f"no Ray cluster answers at RAY_ADDRESS={address}; "
            "start one there, or unset RAY_ADDRESS to use this machine"
        ) from error
    if "://" not in address:
        _check_token(address)


def _check_token(address: str) -> None:
    """Refuse a cluster that wants another token: Ray would ask it for 20 s, and not say why it failed."""
    from ray._raylet import GcsClient  # type: ignore[attr-defined]
    from ray.exceptions import AuthenticationError, RayError

    shows_token, has_token = find_token()
    name = f"the cluster at RAY_ADDRESS={address}"
    if shows_token and not has_token:
        # Ray's core would end the process.
        raise ConfigError(
            f"RAY_AUTH_MODE is token and there is none for {name}; set RAY_AUTH_TOKEN_PATH (or "
            "RAY_AUTH_TOKEN) to that cluster's, or RAY_AUTH_MODE=disabled if it has none"
        )
    try:
        with discard_stderr():
            GcsClient(address=address, cluster_id=None)
    except AuthenticationError as error:
        if shows_token:
            advice = (
                "takes another token than this one; set RAY_AUTH_TOKEN_PATH (or RAY_AUTH_TOKEN) to its own"
            )
        else:
            rest = "to show the one that is here" if has_token else "and RAY_AUTH_TOKEN_PATH to its token"
            advice = f"wants a token and none is shown; set RAY_AUTH_MODE=token {rest}"
        raise ConfigError(f"{name} {advice}") from error
    except RayError as error:
        raise ConfigError(
            f"what listens at RAY_ADDRESS={address} does not answer as a Ray cluster does; give HOST:PORT as "
            "`ray start --head` printed it (6379, not the dashboard's 8265), or unset RAY_ADDRESS"
        ) from error
