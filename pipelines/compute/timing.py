"""Seconds spent in each phase (fetch, decode, encode, write), summed over threads."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

_lock = threading.Lock()
_seconds: defaultdict[str, float] = defaultdict(float)


@contextmanager
def measure_time(phase: str) -> Iterator[None]:
    """Add the duration of the block to a phase, whichever thread it runs in."""
    started = time.perf_counter()
    try:
        yield
    finally:
        add(phase, time.perf_counter() - started)


def add(phase: str, seconds: float) -> None:
    """Add seconds to a phase."""
    with _lock:
        _seconds[phase] += seconds


def drain() -> dict[str, float]:
    """Return the seconds by phase since the last call, and reset them."""
    with _lock:
        drained = dict(_seconds)
        _seconds.clear()
    return drained
