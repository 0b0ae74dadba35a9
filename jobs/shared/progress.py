"""Progress of a job: one line that is updated on a terminal, a new line every ten seconds elsewhere.

Times go into the run's record, runs/RUN/run.json, never into the dataset itself.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter, deque
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from jobs.shared.terminal import choose_spinner, format_count, format_text
from pipelines.fetch.ratelimit.traffic import Traffic
from pipelines.run import records
from schemas.outcome import sum_by_status

_QUIET_EVERY_S = 10
# The rate is averaged over the last 8 reports of traffic: workers report every second, not all at once.
_RATE_REPORTS = 8
# A name service that works answers within this.
_LONG_LOOKUP_S = 2.0


class RowProgress:
    """Shows rows done, rows/s, time left and outcomes so far."""

    def __init__(self, word: str, rows: int) -> None:
        self._word, self._rows = word, rows
        self._done = self._printed = 0
        self._outcomes: Counter[str] = Counter()
        self._began = self._printed_at = time.monotonic()
        self._lock = threading.Lock()
        self._traffic: Traffic | None = None
        self._first_requests: int | None = None
        self._is_asking = False
        self._read: deque[tuple[float, int]] = deque(maxlen=_RATE_REPORTS)
        self._bar: Progress | None = None
        if sys.stderr.isatty():
            self._bar = Progress(
                SpinnerColumn(choose_spinner()),
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.fields[line]}", markup=False),
                TimeElapsedColumn(),
                console=Console(stderr=True),
            )
            self._task = self._bar.add_task(word, total=rows, line="starting workers")

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
        else:
            print(f"{self._word}: {format_count(self._rows, 'row')}, starting workers", file=sys.stderr)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()
        elif kind is None and self._done != self._printed:
            print(f"{self._word}: {self._format_line()}", file=sys.stderr)

    def add(self, rows: int, outcomes: dict[str, int]) -> None:
        """Count rows that are done, with their outcomes by `outcome/reason`."""
        self._done += rows
        self._outcomes += sum_by_status(outcomes)
        if job := records.get_current():
            job.add(rows, outcomes, {})
        self._show()

    def show_traffic(self, traffic: Traffic) -> None:
        """Show what the workers are fetching; may be called from another thread."""
        self._read.append((time.monotonic(), traffic.read_bytes))
        self._traffic = traffic
        # Before its first request a worker loads libraries, for a minute where the machine is busy. The
        # counts are those of the cluster, so of other jobs, too.
        if self._first_requests is None:
            self._first_requests = traffic.requests
        has_asked = traffic.requests > self._first_requests
        self._is_asking |= has_asked or any((traffic.in_flight, traffic.waiting, traffic.lookups))
        self._show()

    def _show(self) -> None:
        with self._lock:
            if self._bar:
                self._bar.update(self._task, completed=self._done, line=self._format_line())
            elif time.monotonic() - self._printed_at > _QUIET_EVERY_S:
                self._printed_at, self._printed = time.monotonic(), self._done
                print(f"{self._word}: {self._format_line()}", file=sys.stderr)

    def add_seconds(self, seconds: dict[str, float]) -> None:
        """Add seconds of work, by word, to the record of the job."""
        if job := records.get_current():
            job.add(0, {}, seconds)

    def _format_line(self) -> str:
        line = f"{self._done:,} of {format_count(self._rows, 'row')}"
        if self._done:
            rate = self._done / max(time.monotonic() - self._began, 1e-9)
            outcomes = " ".join(f"{name} {count:,}" for name, count in self._outcomes.most_common())
            left_s = (self._rows - self._done) / rate
            pace = f"{rate:,.0f} rows/s" if rate >= 1 else f"{1 / rate:,.0f} s a row"
            line += f", {pace}, {left_s:,.0f} s left: {outcomes}"
        if self._traffic and not (self._is_asking or self._done):
            line += " | workers start"
        elif self._traffic:
            (first_s, first), (last_s, last) = self._read[0], self._read[-1]
            line += _format_traffic(self._traffic, max(0, last - first) / max(last_s - first_s, 1e-9))
        return format_text(line)


def _format_traffic(traffic: Traffic, bytes_per_s: float) -> str:
    """Return the bytes and requests in flight, and what is waited for."""
    text = f" | {bytes_per_s / 1e6:,.1f} MB/s, {traffic.in_flight:,} in flight"
    if traffic.slowest:
        text += f", {traffic.waiting:,} wait for {traffic.slowest} ({_format_wait(traffic)})"
    if traffic.lookup_s >= _LONG_LOOKUP_S:
        text += f", {traffic.lookups:,} names wait for the name service ({traffic.lookup_s:,.0f} s)"
    return text


def _format_wait(traffic: Traffic) -> str:
    if traffic.paused:
        return f"it asked for a pause, {traffic.left_s:,.0f} s left"
    text = f"{traffic.longest_s:,.0f} s"
    if 1 <= traffic.left_s < float("inf"):
        text += f", its limit allows the next in {traffic.left_s:,.0f} s"
    return text


class ReadProgress:
    """Shows the rows read of each list: a line that is updated on a terminal, nothing elsewhere."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._status = self._console.status("reading lists", spinner=choose_spinner())

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._status.stop()

    def show_rows(self, what: str, rows: int) -> None:
        """Show how many rows of a list have been read, or how many candidates written."""
        self._status.update(Text(f"{format_text(what)}: {format_count(rows, 'row')}"))

    def show_verified(self, read_bytes: int, total_bytes: int) -> None:
        """Show how many bytes of a dataset have been read."""
        self._status.update(f"verified {read_bytes / 2**20:,.0f} of {total_bytes / 2**20:,.0f} MiB")
