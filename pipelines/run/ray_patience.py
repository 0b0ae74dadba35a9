"""Waits for the processes of a Ray of one's own, on a machine where they take minutes to start.

Ray gives each of them 30 s, of which most can be made longer from outside.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

START_S = 180
_POLL_S = 0.1


def make_limits() -> Mapping[str, str]:
    """Return variables that make Ray's processes wait for each other; those of the user stay."""
    limits = {
        # Not among them: the 30 s that a raylet of Ray 2.60 waits for the ports of its agents are fixed.
        "RAY_agent_register_timeout_ms": f"{START_S * 1000}",
        "RAY_gcs_server_port_wait_time_s": f"{START_S}",
        "RAY_worker_register_timeout_seconds": f"{START_S}",
    }
    return {name: os.environ.get(name, value) for name, value in limits.items()}


@contextmanager
def wait_for_raylet() -> Iterator[None]:
    """Have `ray.init` wait for its raylet for as long as that runs: 30 s are fixed in its code.

    It asks for the node in a loop until it is there; here a question waits for its answer.
    """
    from ray._private import services

    get_node: Any = services.get_node
    start_raylet = services.start_raylet
    started: list[Any] = []

    def start_noted(*args: Any, **options: Any) -> Any:
        started.append(start_raylet(*args, **options))
        return started[-1]

    def get_when_there(*args: Any) -> Any:
        deadline_s = time.monotonic() + START_S
        while True:
            try:
                return get_node(*args)
            except RuntimeError:
                has_ended = any(each.process.poll() is not None for each in started)
                if has_ended or time.monotonic() > deadline_s:
                    raise
            time.sleep(_POLL_S)

    services.get_node, services.start_raylet = get_when_there, start_noted
    try:
        yield
    finally:
        services.get_node, services.start_raylet = get_node, start_raylet
