"""Why Ray does not start on this machine, in one sentence: what was found, and what to do."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from pipelines.compute import cpu
from pipelines.errors import ConfigError

_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - where Ray keeps its objects
# Raylet, controller and two agents take 600 MB together, and a worker 200 MB.
_NEEDED_BYTES = 10**9
_LATE = re.compile(r"timed? ?out|timeout|failed to get node info|overloaded|wait", re.IGNORECASE)
_NO_MORE = re.compile(
    r"resource temporarily unavailable|cannot allocate|can't start new thread", re.IGNORECASE
)
_SHOWN_CHARS = 200


def check_room(folder: Path, object_store_bytes: int) -> None:
    """Refuse a machine without room for Ray's objects: it would end by a bus error in the middle.

    Args:
        folder: of Ray's files, which takes the objects where /dev/shm has no room for them.
        object_store_bytes: of its objects.

    Raises:
        ConfigError: neither has room.
    """
    free = {str(place): _find_free(place) for place in (_SHARED_MEMORY, folder)}
    if max(free.values()) < object_store_bytes:
        found = " and ".join(f"{place} has {_format(size)}" for place, size in free.items())
        raise ConfigError(
            f"Ray needs {_format(object_store_bytes)} of room for its objects and {found}; free some, or "
            "start the container with --shm-size=1g"
        )


def explain_failure(error: BaseException, folder: Path) -> str:
    """Return why Ray did not start.

    Args:
        error: that `ray.init` raised.
        folder: of Ray's files.
    """
    text = f"{type(error).__name__}: {error}"
    if (free := _find_free_memory()) is not None and free < _NEEDED_BYTES:
        return (
            f"Ray did not start, and {_format(free)} of memory are free of "
            f"{_format(_NEEDED_BYTES)} that it needs; end other programs, or give the container more memory"
        )
    if _find_free(folder) < 10**8:
        return (
            f"Ray did not start, and the disk of {folder.parent} is full; free some, or set TMPDIR to another"
        )
    if _NO_MORE.search(text):
        return (
            "Ray did not start, as this user may start no more processes or threads; raise the limit "
            "(`ulimit -u`, or the container's pids limit)"
        )
    logged = _read_last_line(folder)
    if _LATE.search(f"{text} {logged}"):
        load = os.getloadavg()[0]
        return (
            f"Ray did not start in time, at a load of {load:.0f} on {cpu.count_available_cpus()} cores; run "
            "the same command again when the machine has less to do"
        )
    reason = logged or " ".join(text.split())
    return (
        f"Ray does not start on this machine ({reason[:_SHOWN_CHARS]}); `echolens doctor` says what it lacks"
    )


def _find_free(place: Path) -> int:
    try:
        return shutil.disk_usage(place).free
    except OSError:
        return 0


def _find_free_memory() -> int | None:
    """Return the bytes of memory that are free, by the kernel and by the limit of the container."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii")
    except OSError:
        return None
    found = re.search(r"MemAvailable:\s+(\d+) kB", lines)
    free = [int(found[1]) * 1024] if found else []
    group = Path("/sys/fs/cgroup")
    try:
        limit, used = (
            (group / name).read_text(encoding="ascii") for name in ("memory.max", "memory.current")
        )
        free.append(int(limit) - int(used))
    except (OSError, ValueError):
        pass  # no limit
    return min(free, default=None)


def _read_last_line(folder: Path) -> str:
    """Return the last error in the logs of the controller and the raylet; empty if there is none."""
    for name in ("raylet.err", "raylet.out", "gcs_server.err", "gcs_server.out"):
        for file in sorted(folder.glob(f"ray/session_2*/logs/{name}")):
            lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
            for line in reversed(lines):
                if found := re.search(r"\b[CEF] \d+ \d+\] (?:\([^)]*\) )?(?:\S+:\d+: )?(.+)", line):
                    return " ".join(found[1].split())
    return ""


def _format(size: int) -> str:
    return f"{size / 2**20:,.0f} MiB"
