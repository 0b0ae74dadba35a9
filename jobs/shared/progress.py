"""Progress of long work: one line that lives on a terminal, a quiet line every ten seconds elsewhere.

What a run took goes into its record, runs/RUN/run.json; times never enter the dataset itself.
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

from pipelines.fetch.ratelimit.governor import Traffic
from pipelines.run import records

_QUIET_EVERY_S = 10
# Of the last looks at the traffic the rate is made: workers report by the second, and not all at once.
_READ_OVER = 8


class RowProgress:
    """Rows done, rows/s, time left and outcomes so far."""

    def __init__(self, word: str, rows: int) -> None:
        self._word, self._rows = word, rows
        self._done = self._told = 0
        self._outcomes: Counter[str] = Counter()
        self._began = self._said = time.monotonic()
        self._lock = threading.Lock()
        self._traffic: Traffic | None = None
        self._read: deque[tuple[float, int]] = deque(maxlen=_READ_OVER)
        self._bar: Progress | None = None
        if sys.stderr.isatty():
            self._bar = Progress(
                SpinnerColumn(),
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.fields[line]}"),
                TimeElapsedColumn(),
                console=Console(stderr=True),
            )
            self._task = self._bar.add_task(word, total=rows, line="starting workers")

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
        else:
            print(f"{self._word}: {self._rows:,} rows, starting workers", file=sys.stderr)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()
        elif kind is None and self._done != self._told:
            print(f"{self._word}: {self._line()}", file=sys.stderr)

    def add(self, rows: int, outcomes: dict[str, int]) -> None:
        """Count rows that are through, with their outcomes by `outcome/reason`."""
        self._done += rows
        for reason, count in outcomes.items():
            self._outcomes[reason.split("/")[0]] += count
        if job := records.get_current():
            job.add(rows, outcomes, {})
        self._show()

    def traffic(self, traffic: Traffic) -> None:
        """Take what the workers are doing; may be called from another thread."""
        self._read.append((time.monotonic(), traffic.read_bytes))
        self._traffic = traffic
        self._show()

    def _show(self) -> None:
        with self._lock:
            if self._bar:
                self._bar.update(self._task, completed=self._done, line=self._line())
            elif time.monotonic() - self._said > _QUIET_EVERY_S:
                self._said, self._told = time.monotonic(), self._done
                print(f"{self._word}: {self._line()}", file=sys.stderr)

    def spent(self, seconds: dict[str, float]) -> None:
        """Add seconds of work, by word, to the record of the job."""
        if job := records.get_current():
            job.add(0, {}, seconds)

    def _line(self) -> str:
        line = f"{self._done:,} of {self._rows:,} rows"
        if self._done:
            rate = self._done / max(time.monotonic() - self._began, 1e-9)
            outcomes = " ".join(f"{name} {count:,}" for name, count in self._outcomes.most_common())
            left_s = (self._rows - self._done) / rate
            pace = f"{rate:,.0f} rows/s" if rate >= 1 else f"{1 / rate:,.0f} s a row"
            line += f", {pace}, {left_s:,.0f} s left: {outcomes}"
        if self._traffic:
            (first_s, first), (last_s, last) = self._read[0], self._read[-1]
            line += _shown(self._traffic, max(0, last - first) / max(last_s - first_s, 1e-9))
        return line


def _shown(traffic: Traffic, bytes_per_s: float) -> str:
    """Return what is on its way, and which host keeps the most waiting."""
    shown = f" | {bytes_per_s / 1e6:,.1f} MB/s, {traffic.in_flight:,} in flight"
    if traffic.slowest:
        shown += f", {traffic.waiting:,} wait for {traffic.slowest} ({traffic.longest_s:,.0f} s)"
    return shown


class ReadProgress:
    """Rows read of each list: a line that lives on a terminal, nothing elsewhere."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._status = self._console.status("reading lists")

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._status.stop()

    def read(self, what: str, rows: int) -> None:
        """Take how many rows of a list have been read, or how many candidates written."""
        self._status.update(f"{what}: {rows:,} rows")

    def verified(self, read: int, whole: int) -> None:
        """Take how many bytes of a dataset have been read."""
        self._status.update(f"verified {read / 2**20:,.0f} of {whole / 2**20:,.0f} MiB")
