"""A job in a process of its own, what runs below it, and how to kill any of that."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from jobs.demo import write_dataset

ECHOLENS = Path(sys.executable).parent / "echolens"


def write_lists(folder: Path, base_url: str, rows: int, share: float = 1.0, seed: int = 3) -> Path:
    """Write the lists of the world and their dataset file; with a share, as many of their first rows."""
    file = write_dataset(folder, base_url, rows, seed)
    for path in (folder / "lists").iterdir():
        if share < 1 and path.suffix != ".gz":
            lines = path.read_bytes().splitlines(keepends=True)
            path.write_bytes(b"".join(lines[: int(len(lines) * share)]))
    return file


def start(verb: str, *arguments: object) -> subprocess.Popen:
    """Start a job."""
    return subprocess.Popen(
        [ECHOLENS, verb, *map(str, arguments)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def family(driver: subprocess.Popen) -> list[psutil.Process]:
    """The job's process and every one below it."""
    try:
        top = psutil.Process(driver.pid)
        return [top, *top.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def title(process: psutil.Process) -> str:
    """The command line of a process, or that it is gone."""
    try:
        return " ".join(process.cmdline()) or process.name()
    except psutil.Error:
        return "a process that was gone already"


def kill_driver(driver: subprocess.Popen) -> None:
    """Kill the job's own process; those below notice and leave, or are killed after a while as well."""
    below = family(driver)
    os.kill(driver.pid, signal.SIGKILL)
    driver.communicate()
    for late in psutil.wait_procs(below, timeout=5)[1]:
        late.kill()
    psutil.wait_procs(below, timeout=5)


def until(reached: Callable[[], bool], driver: subprocess.Popen, seconds: float = 300) -> bool:
    """Wait for a state of the files or processes; return False if the job is over before."""
    end = time.monotonic() + seconds
    while not reached():
        if driver.poll() is not None:
            return False
        assert time.monotonic() < end
        time.sleep(0.002)
    return True


def there(data: Path, pattern: str) -> Callable[[], bool]:
    """Whether a file of that name is there."""
    return lambda: any(data.glob(pattern))
