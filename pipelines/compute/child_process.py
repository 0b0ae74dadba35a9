"""Work in a process of its own: its memory is given back when it is done, whatever it needed."""

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
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeVar

from pipelines.errors import EcholensError, StopJob

T = TypeVar("T")
ReportProgress = Callable[[str, int], None]

_inside = False


@contextmanager
def use_this_process() -> Iterator[None]:
    """Let `run_in_subprocess` do its work in this process for as long as the block lasts.

    For a process that has loaded the libraries already and keeps them: a new one takes 6 s to load them.
    """
    global _inside  # noqa: PLW0603 - one switch a process, and processes are what this is about
    before, _inside = _inside, True
    try:
        yield
    finally:
        _inside = before


def run_in_subprocess(work: Callable[..., T], *args: object, report: ReportProgress | None = None) -> T:
    """Return `work(scratch, report, *args)`, run in another process.

    Args:
        work: a function that can be pickled. It gets an empty folder, which is removed afterwards, and a
            function that hands what it is told to `report` here.
        args: further arguments, picklable.
        report: called in this process.

    Raises:
        StopJob: the process was killed.
        Exception: whatever `work` raised.
    """
    if _inside:
        with tempfile.TemporaryDirectory(prefix="echolens-", ignore_cleanup_errors=True) as scratch:
            return work(Path(scratch), report or (lambda *_: None), *args)
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    with tempfile.TemporaryDirectory(prefix="echolens-", ignore_cleanup_errors=True) as scratch:
        process = context.Process(target=_serve, args=(theirs, scratch, work, args), daemon=True)
        process.start()
        theirs.close()
        try:
            while True:
                word, value = ours.recv()
                if word == "done":
                    done: T = value
                    return done
                if word == "failed":
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
            ours.close()


def _serve(theirs: Connection, scratch: str, work: Callable[..., Any], args: tuple[object, ...]) -> None:
    # Ctrl-C reaches both processes; the other one decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, args=(theirs, scratch), daemon=True).start()
    try:
        done = work(Path(scratch), lambda *said: theirs.send(("said", said)), *args)
    except Exception as error:
        if not isinstance(error, EcholensError):
            error.add_note("".join(traceback.format_exception(error)))
        theirs.send(("failed", error))
    else:
        theirs.send(("done", done))


def _end_with_parent(theirs: Connection, scratch: str) -> None:
    """Wait for the other end of the pipe to close, which it does even if its process is killed."""
    try:
        theirs.recv()
    except (EOFError, OSError):
        shutil.rmtree(scratch, ignore_errors=True)
        os._exit(1)
