"""How many cores this process may use: what its worker was given, else what the machine lets it have."""

from __future__ import annotations

import os

_given: list[int] = []


def limit_cpus(count: int) -> None:
    """Bound the threads of this process, which is a worker."""
    _given[:] = [count]


def count_cpus() -> int:
    """Return how many threads may compute at once."""
    if _given:
        return _given[0]
    # Only Linux knows what a container or `taskset` leaves of the machine.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
