"""Liveness: a process whose event loop is blocked ends itself, so that Serve starts another."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections.abc import Callable

_log = logging.getLogger("ray.serve")
_PERIOD_S = 1.0


def _exit() -> None:
    # Not `sys.exit`: the main thread may be the one that is blocked.
    os._exit(1)


def end_when_blocked(deadline_s: float, end: Callable[[], None] = _exit) -> None:
    """Watch the running event loop from a thread of its own, as long as the loop is open.

    Serve's health checks run in that loop, too, so a blocked loop would not be noticed by what it answers.

    Args:
        deadline_s: time within which the loop has to run a callback.
        end: called once it did not.
    """
    loop = asyncio.get_running_loop()

    def watch() -> None:
        while True:
            ran = threading.Event()
            try:
                loop.call_soon_threadsafe(ran.set)
            except RuntimeError:
                return  # the loop is closed
            # In two halves: a process that was suspended past the deadline gets the second one.
            if not ran.wait(deadline_s / 2) and not ran.wait(deadline_s / 2):
                if not loop.is_closed():
                    _log.error("the event loop was blocked for %g s; this process ends", deadline_s)
                    end()
                return
            time.sleep(_PERIOD_S)

    threading.Thread(target=watch, name="liveness", daemon=True).start()
