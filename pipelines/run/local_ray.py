"""A Ray of one's own on this machine: on loopback alone, behind a token, in a private folder.

What Ray would do otherwise: listen on all interfaces, without a token, in a folder that all users may enter.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from pipelines.compute import cpu
from pipelines.errors import StopJob
from pipelines.run.ray_core import discard_stderr, reload_token
from pipelines.run.ray_failures import check_room, explain_failure
from pipelines.run.ray_patience import make_limits, wait_for_raylet
from pipelines.run.short_folder import make_short_folder

# Ray's sockets lie up to 64 bytes deeper, and a Unix socket's path has at most 107.
_MAX_FOLDER_BYTES = 43
_RAYS_FOLDER = "ray"
_OBJECT_STORE_BYTES = 256 * 2**20


@contextmanager
def run_local_ray(**options: Any) -> Iterator[None]:
    """Have a Ray on this machine while the block runs.

    Args:
        options: other options of `ray.init`.

    Raises:
        ConfigError: there is no folder for its sockets, or no room for its objects.
        StopJob: it does not start.
    """
    import ray

    with ExitStack() as stack:
        folder = stack.enter_context(_make_private_folder())
        check_room(folder, _OBJECT_STORE_BYTES)
        stack.enter_context(_set_environment(folder))
        stack.callback(ray.shutdown)
        try:
            with discard_stderr(), wait_for_raylet():
                # Both steps need at least two CPUs; the object store holds rows, never media.
                ray.init(
                    "local",
                    num_cpus=max(2, cpu.count_available_cpus()),
                    object_store_memory=_OBJECT_STORE_BYTES,
                    include_dashboard=False,
                    # Ray opens its folder to all users, but not the one that it lies in.
                    _temp_dir=os.fspath(folder / _RAYS_FOLDER),
                    **options,
                )
        except Exception as error:
            # Ray raises anything, down to Exception itself.
            raise StopJob(explain_failure(error, folder)) from error
        yield


@contextmanager
def _make_private_folder() -> Iterator[Path]:
    """Yield a fresh folder for Ray's sockets, logs and token, which only this user may enter."""
    folder = make_short_folder("echolens-", _MAX_FOLDER_BYTES - len(f"/{_RAYS_FOLDER}"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _set_environment(folder: Path) -> Iterator[None]:
    """Set what Ray's processes inherit: loopback, a token, and little logging; take it back at the end."""
    token = folder / "auth_token"
    token.touch(mode=0o600)
    token.write_text(secrets.token_hex(32))
    own = {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": os.fspath(token),
        # A node's address is 127.0.0.1 on systems where a cluster has one node, and all of Ray's servers then
        # listen there alone. `_node_ip_address` does not do it: Ray replaces loopback by a public address.
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        # Ray's core logs warnings about the arguments of every actor; errors arrive as exceptions.
        "RAY_BACKEND_LOG_LEVEL": os.environ.get("RAY_BACKEND_LOG_LEVEL", "fatal"),
        **make_limits(),
    }
    # The variable would win over the file.
    names = [*own, "RAY_AUTH_TOKEN"]
    before = {name: os.environ.pop(name, None) for name in names}
    os.environ.update(own)
    from ray._private import ray_constants

    clustered, ray_constants.ENABLE_RAY_CLUSTER = ray_constants.ENABLE_RAY_CLUSTER, False
    reload_token()
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        ray_constants.ENABLE_RAY_CLUSTER = clustered
        reload_token()
