"""The requests that this machine has made of a host, in a file: limits of a day outlive a process.

All processes of this machine that ask the host share the file, and so its limits. The governor keeps the
same limits among the workers of a build; what asks before there are workers keeps them here.
"""

from __future__ import annotations

import fcntl
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Protocol

from pipelines.fetch.ratelimit.windows import split_limit
from pipelines.store.cache import get_folder
from pipelines.store.io_errors import as_storage_errors
from schemas.fetch import HostLimit


class Clock(Protocol):
    """A clock that goes on while nobody runs."""

    def get_time_s(self) -> float:
        """Return the seconds since 1970."""
        ...

    def wait(self, length_s: float) -> None:
        """Wait."""
        ...


class SystemClock:
    """That of this machine."""

    def get_time_s(self) -> float:
        """Return the seconds since 1970."""
        return time.time()

    def wait(self, length_s: float) -> None:
        """Wait."""
        time.sleep(length_s)


@dataclass(frozen=True)
class RequestLog:
    """The times of requests, and what a limit still allows.

    A request counts from the time at which its response was there: the server counted it before that, so
    however long it took, the server never sees more in a window than the limit allows.

    Attributes:
        path: of the file.
        limit: of the host; connections and bytes are not its business.
        clock: of this machine.
    """

    path: Path
    limit: HostLimit
    clock: Clock = field(default_factory=SystemClock)

    @contextmanager
    def count_request(self) -> Iterator[None]:
        """Count a request, which is made in the block; `get_wait_s` has to be 0 before."""
        with self._open() as (file, times_s):
            _write(file, [*times_s, began_s := self.clock.get_time_s()])
        try:
            yield
        finally:
            with self._open() as (file, times_s):
                kept = list(times_s)
                if began_s in kept:
                    kept.remove(began_s)
                _write(file, [*kept, self.clock.get_time_s()])

    def get_wait_s(self) -> float:
        """Return how long the next request has to wait."""
        with self._open() as (_, times_s):
            now_s = self.clock.get_time_s()
            return max(
                (
                    sorted(times_s)[-most] + length_s - now_s
                    for most, length_s in split_limit(self.limit)
                    if len(times_s) >= most
                ),
                default=0.0,
            )

    @contextmanager
    def _open(self) -> Iterator[tuple[IO[str], list[float]]]:
        """Open the file for this process alone, with the times in it that still count."""
        with as_storage_errors(str(self.path.parent)):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a+", encoding="utf-8") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                file.seek(0)
                yield file, self._parse(file.read())

    def _parse(self, text: str) -> list[float]:
        longest_s = max((length_s for _, length_s in split_limit(self.limit)), default=0.0)
        now_s = self.clock.get_time_s()
        try:
            found = [float(each) for each in json.loads(text or "[]")]
        except (ValueError, TypeError):
            found = []  # cut off by a full disk; the server still counts
        # A time in the future is of a clock that was set back, and would lock the host for good.
        return [each for each in found if now_s - longest_s < each <= now_s]


def _write(file: IO[str], times_s: list[float]) -> None:
    file.seek(0)
    file.truncate()
    json.dump(times_s, file)


def locate_request_log(host: str, port: int) -> Path:
    """Return the file of a host: in the cache of this machine, with no word of who asks."""
    return get_folder() / "requests" / f"{host}-{port}.json"
