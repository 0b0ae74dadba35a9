"""Where the time goes: seconds spent on each word (fetch, decode, encode, write), summed over threads."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

_lock = threading.Lock()
_seconds: defaultdict[str, float] = defaultdict(float)


@contextmanager
def measure_time(word: str) -> Iterator[None]:
    """Add the time of the block to a word, whichever thread it runs in."""
    begun = time.perf_counter()
    try:
        yield
    finally:
        add(word, time.perf_counter() - begun)


def add(word: str, seconds: float) -> None:
    """Add seconds to a word."""
    with _lock:
        _seconds[word] += seconds


def drain() -> dict[str, float]:
    """Return the seconds since the last call, and start again from nothing."""
    with _lock:
        taken = dict(_seconds)
        _seconds.clear()
    return taken
