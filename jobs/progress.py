"""Progress of long work: one line that lives on a terminal, a quiet line every ten seconds elsewhere.

What a run took is kept in runs/RUN/run.json; times never enter the dataset itself.
"""

from __future__ import annotations

import sys
import time
from collections import Counter, defaultdict
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from pipelines.storage import Root

_QUIET_EVERY_S = 10


class RowProgress:
    """Rows done, rows/s, time left and outcomes so far."""

    def __init__(self, word: str, rows: int) -> None:
        self._word, self._rows = word, rows
        self._done = 0
        self._outcomes: Counter[str] = Counter()
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._began = self._said = time.monotonic()
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
        elif kind is None and self._done:
            print(f"{self._word}: {self._line()}", file=sys.stderr)

    def add(self, rows: int, outcomes: dict[str, int]) -> None:
        """Count rows that are through, with their outcomes by `outcome/reason`."""
        self._done += rows
        for reason, count in outcomes.items():
            self._outcomes[reason.split("/")[0]] += count
        if self._bar:
            self._bar.update(self._task, completed=self._done, line=self._line())
        elif time.monotonic() - self._said > _QUIET_EVERY_S:
            self._said = time.monotonic()
            print(f"{self._word}: {self._line()}", file=sys.stderr)

    def spent(self, seconds: dict[str, float]) -> None:
        """Add seconds of work, by word."""
        for word, took_s in seconds.items():
            self._seconds[word] += took_s

    def record(self, root: Root) -> None:
        """Keep what the run took, if it did anything."""
        if self._done:
            name = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
            took = {
                "rows": self._done,
                "wall_s": round(time.monotonic() - self._began, 3),
                "seconds": {word: round(took_s, 3) for word, took_s in sorted(self._seconds.items())},
            }
            root.write_json(f"runs/{name}/run.json", took)

    def _line(self) -> str:
        rate = self._done / max(time.monotonic() - self._began, 1e-9)
        left_s = (self._rows - self._done) / max(rate, 1e-9)
        outcomes = " ".join(f"{name} {count:,}" for name, count in self._outcomes.most_common())
        return f"{self._done:,} of {self._rows:,} rows, {rate:,.0f} rows/s, {left_s:,.0f} s left: {outcomes}"


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
