"""`echolens serve` in a process of its own, as a person runs it."""

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from pipelines.store.root import Root
from tests.ports import free_port

STARTS_WITHIN_S = 150
ENDS_WITHIN_S = 40


@dataclass
class Served:
    """A service that runs."""

    url: str
    root: Root
    process: subprocess.Popen
    said: str

    def replicas(self):
        """Return the processes that search."""
        below = psutil.Process(self.process.pid).children(recursive=True)
        return [one for one in below if "ServeReplica" in _title(one) and ":Service" in _title(one)]


def _title(process):
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


@contextmanager
def serve(root, *options, env=None, home=None):
    """Run `echolens serve` until the block ends; by SIGTERM, and it must end well.

    Args:
        root: of the dataset.
        options: of the command.
        env: variables beside those of this process.
        home: a checkout whose code is run in place of this one's.
    """
    command = [Path(sys.executable).parent / "echolens", "serve"]
    if home:
        command = [sys.executable, "-m", "jobs.serve"]
        env = (env or {}) | {"PYTHONPATH": str(home)}
    port = free_port()
    errors = Path(f"{root}.{port}.stderr" if home else f"{root}.stderr")
    with errors.open("w") as told:
        process = subprocess.Popen(
            [*command, str(root), "--port", str(port), *options],
            stdout=subprocess.PIPE,
            stderr=told,
            text=True,
            env=os.environ | (env or {}),
            cwd=home,
        )
        timer = time.monotonic() + STARTS_WITHIN_S
        os.set_blocking(process.stdout.fileno(), False)
        said = ""
        while "http" not in said:
            assert process.poll() is None, errors.read_text()
            assert time.monotonic() < timer, errors.read_text()
            time.sleep(0.05)
            said += process.stdout.readline() or ""
        try:
            yield Served(re.search(r"http://\S+", said)[0], Root.from_url(str(root)), process, said)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                ended = process.wait(ENDS_WITHIN_S)
            finally:
                process.kill()
        assert 0 == ended, errors.read_text()
