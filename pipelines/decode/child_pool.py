"""A child process that decodes what nobody can count: started at need, kept warm, ended at a limit."""

from __future__ import annotations

import atexit
import json
import math
import os
import signal
import subprocess
import sys
import threading
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

from pipelines.errors import StopJob, UndecodableMediaError

Decoder = Literal[b"o", b"p"]

# CPU time of a picture. 120 megapixels of JPEG 2000, the slowest of honest formats, take 13 s.
CPU_S = 20
# For a child that is stopped or starved, which uses no CPU time.
_WALL_S = 120.0
# OpenCV takes 6 bytes a pixel for TIFF, 9 for GIF, 11 for an animated WebP, 15 for JPEG 2000, 17 for AVIF. So
# of 120 megapixels that are allowed, these last get 110 and 99: 2 kB of AVIF must not take 2.4 GB.
_BYTES_A_PIXEL = 12
_MEMORY_BYTES = 2**28
# Of a process: it takes 90 MB when idle. Threads wait for it.
_MOST_CHILDREN = 1
_MOST_CHANNELS = 4
_MOST_LINE = 1024
# Signals by which the kernel ends who takes too much: of CPU time, or of memory.
_LIMIT_SIGNALS = frozenset({signal.SIGXCPU, signal.SIGKILL})
_REASONS = frozenset({"undecodable", "too_complex", "too_many_pixels"})
# A decoder needs no credentials.
_ENVIRONMENT = ("PATH", "HOME", "LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "TMPDIR")


class ChildPool:
    """Decodes in child processes. Thread-safe.

    Args:
        max_pixels: of a picture; the decoders' own limit in the children.
        cpu_s: that a picture may take.
        wall_s: after which a child that does not answer is ended.
        memory_bytes: that a child may take beside its libraries; enough for `max_pixels` if None.
    """

    def __init__(
        self, max_pixels: int, cpu_s: int = CPU_S, wall_s: float = _WALL_S, memory_bytes: int | None = None
    ) -> None:
        self._max_pixels = max_pixels
        self._memory_bytes = memory_bytes or max_pixels * _BYTES_A_PIXEL + _MEMORY_BYTES
        self._cpu_s = cpu_s
        self._wall_s = wall_s
        self._slots = threading.BoundedSemaphore(_MOST_CHILDREN)
        self._lock = threading.Lock()
        self._idle: list[subprocess.Popen[bytes]] = []

    def decode(self, data: bytes, decoder: Decoder) -> np.ndarray[Any, Any]:
        """Return the pixels of a picture.

        Args:
            data: the file.
            decoder: OpenCV, for pixels as they are, or Pillow, for uint8 [H, W, 3].

        Raises:
            UndecodableMediaError: it is none, or takes more than it may.
            StopJob: the child does not start.
        """
        with self._slots:
            child = self._take()
            timer = threading.Timer(self._wall_s, child.kill)
            timer.start()
            try:
                pixels = self._ask(child, data, decoder)
            except (OSError, EOFError, ValueError):
                child.kill()
                code = child.wait()
                _close(child)
                raise UndecodableMediaError(
                    "too_complex" if -code in _LIMIT_SIGNALS else "undecodable"
                ) from None
            finally:
                timer.cancel()
            with self._lock:
                self._idle.append(child)
        if isinstance(pixels, str):
            raise UndecodableMediaError(pixels)
        return pixels

    def close(self) -> None:
        """End the children that are idle."""
        with self._lock:
            idle, self._idle = self._idle, []
        for child in idle:
            child.kill()
            child.wait()
            _close(child)

    def _take(self) -> subprocess.Popen[bytes]:
        with self._lock:
            while self._idle:
                child = self._idle.pop()
                if child.poll() is None:
                    return child
                _close(child)
        return self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        limits = (self._max_pixels, self._cpu_s, self._memory_bytes)
        environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
        child = subprocess.Popen(
            # -P: its folder has files of ours, which must not be taken for modules of the same names.
            [sys.executable, "-P", Path(__file__).with_name("child.py"), *map(str, limits)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment | {"OPENCV_IO_MAX_IMAGE_PIXELS": str(self._max_pixels), "OMP_NUM_THREADS": "1"},
        )
        assert child.stdout is not None
        if child.stdout.readline(_MOST_LINE) != b"ready\n":
            child.kill()
            child.wait()
            _close(child)
            raise StopJob(
                f"the process that decodes pictures ended with code {child.returncode} before it began; run "
                "`echolens doctor`, and the command again"
            )
        return child

    def _ask(
        self, child: subprocess.Popen[bytes], data: bytes, decoder: Decoder
    ) -> np.ndarray[Any, Any] | str:
        """Return pixels, or the reason why there are none.

        Raises:
            OSError: the child has ended.
            EOFError: so it has.
            ValueError: what it says is no response.
        """
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(decoder + len(data).to_bytes(8))
        child.stdin.write(data)
        child.stdin.flush()
        said = json.loads(child.stdout.readline(_MOST_LINE) or "{}")
        if "reason" in said:
            return str(said["reason"]) if said["reason"] in _REASONS else "undecodable"
        if "shape" not in said:
            raise EOFError
        shape = [int(side) for side in said["shape"]]
        channels = shape[2] if len(shape) == 3 else 1
        if len(shape) not in (2, 3) or min(shape) < 1 or channels > _MOST_CHANNELS:
            raise ValueError("no picture")
        if math.prod(shape[:2]) > self._max_pixels:
            raise ValueError("too many pixels")
        pixels = np.empty(shape, np.dtype(str(said["dtype"])))
        if pixels.dtype.hasobject or pixels.dtype.itemsize > 8:
            raise ValueError("no pixels")
        view, read = pixels.data.cast("B"), 0
        while read < len(view):
            count = child.stdout.readinto(view[read:])  # type: ignore[attr-defined]
            if not count:
                raise EOFError
            read += count
        return pixels


def _close(child: subprocess.Popen[bytes]) -> None:
    """Close the pipes of a child that has ended; what was not written is lost."""
    for pipe in (child.stdin, child.stdout):
        try:
            if pipe is not None:
                pipe.close()
        except OSError:
            pass


@cache
def get_pool(max_pixels: int) -> ChildPool:
    """Return this process's pool for a limit of pixels."""
    pool = ChildPool(max_pixels)
    atexit.register(pool.close)
    return pool
