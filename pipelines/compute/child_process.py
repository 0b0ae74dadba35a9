"""Runs work in a child process, so that all of its memory is freed when it ends."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeVar

from pipelines.errors import EcholensError, StopJob

T = TypeVar("T")
ReportProgress = Callable[[str, int], None]

_in_process = False


@contextmanager
def use_this_process() -> Iterator[None]:
    """Let `run_in_subprocess` work in this process within the block.

    For a process that has already loaded the libraries: a new process takes 6 s to load them.
    """
    global _in_process  # noqa: PLW0603 - one switch per process is meant
    before, _in_process = _in_process, True
    try:
        yield
    finally:
        _in_process = before


def run_in_subprocess(work: Callable[..., T], *args: object) -> T:
    """Return `work(*args)`, run in a child process.

    Args:
        work: a picklable function.
        args: its arguments, picklable.

    Raises:
        StopJob: the process was killed.
        Exception: whatever `work` raised.
    """
    plain: Callable[..., T] = _PlainWork(work)
    return run_with_scratch(plain, *args)


@dataclass(frozen=True)
class _PlainWork:
    """Work that needs neither a folder nor progress."""

    work: Callable[..., Any]

    def __call__(self, _: Path, __: ReportProgress, *args: object) -> Any:
        return self.work(*args)


def run_with_scratch(work: Callable[..., T], *args: object, report: ReportProgress | None = None) -> T:
    """Return `work(scratch, report, *args)`, run in a child process.

    Args:
        work: a picklable function. It gets an empty folder, which is removed afterwards, and a function that
            passes its arguments on to `report` in this process.
        args: further arguments, picklable.
        report: called in this process; None ignores progress.

    Raises:
        StopJob: the process was killed.
        Exception: whatever `work` raised.
    """
    if _in_process:
        with tempfile.TemporaryDirectory(prefix="echolens-", ignore_cleanup_errors=True) as scratch:
            return work(Path(scratch), report or (lambda *_: None), *args)
    context = multiprocessing.get_context("spawn")
    connection, child_connection = context.Pipe()
    with tempfile.TemporaryDirectory(prefix="echolens-", ignore_cleanup_errors=True) as scratch:
        process = context.Process(target=_run, args=(child_connection, scratch, work, args), daemon=True)
        process.start()
        child_connection.close()
        try:
            while True:
                kind, value = connection.recv()
                if kind == "done":
                    result: T = value
                    return result
                if kind == "failed":
                    raise value
                if report:
                    report(*value)
        except (EOFError, ConnectionError):
            process.join()
            raise StopJob(
                f"a process of this job ended with code {process.exitcode}, -9 means killed, most "
                "often for want of memory; nothing is lost, run the command again"
            ) from None
        finally:
            process.terminate()
            process.join()
            connection.close()


def _run(connection: Connection, scratch: str, work: Callable[..., Any], args: tuple[object, ...]) -> None:
    # Ctrl-C reaches both processes; the parent decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, args=(connection, scratch), daemon=True).start()
    try:
        result = work(Path(scratch), lambda *progress: connection.send(("progress", progress)), *args)
    except Exception as error:
        if not isinstance(error, EcholensError):
            error.add_note("".join(traceback.format_exception(error)))
        connection.send(("failed", error))
    else:
        connection.send(("done", result))


def _end_with_parent(connection: Connection, scratch: str) -> None:
    """Exit when the parent's end of the pipe closes, which happens even if the parent is killed."""
    try:
        connection.recv()
    except (EOFError, OSError):
        shutil.rmtree(scratch, ignore_errors=True)
        os._exit(1)
