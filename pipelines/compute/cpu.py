"""How many cores this process may use: its worker's share, else what the machine lets it have."""

from __future__ import annotations

import os

_limit: list[int] = []


def limit_cpus(count: int) -> None:
    """Bound the threads of this process, which is a worker."""
    _limit[:] = [count]


def count_cpus() -> int:
    """Return how many threads may compute at once: the limit of this worker, else all available cores."""
    return _limit[0] if _limit else count_available_cpus()


def count_available_cpus() -> int:
    """Return how many cores this process may run on, whatever share of them its worker was given."""
    # Only Linux knows what a container or `taskset` leaves of the machine.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
