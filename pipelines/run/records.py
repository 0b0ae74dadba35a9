"""What happened, kept beside the dataset and never part of it: runs/RUN/run.json and runs/RUN/*.jsonl.

    run.json             the record of a job: verb, arguments, versions, begin, end, outcome, counts, seconds
    00012-fetch.jsonl    the log of a shard in a step, one line an event, with the shard and the key

A log is written once, when the shard is over: object stores cannot append. Nothing secret gets in: names,
passwords and signatures in addresses, and values of keys that sound like one, are struck out on the way.
"""

from __future__ import annotations

import json
import os
import platform
import re
import socket
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

from pipelines.errors import EcholensError
from pipelines.stage import Batch
from pipelines.store.root import Root
from pipelines.store.shards import Shard
from schemas.run import RunRecord

_SENSITIVE = r"cookie|token|password|passwd|secret|signature|credential|api_?key|access_?key|auth"
# https://user:password@host, ?X-Amz-Signature=..., and fetch.cookies=... on a command line.
_STRUCK = (
    (re.compile(r"(\b[a-z][a-z0-9+.-]*://)[^/\s@]+@", re.IGNORECASE), r"\1***@"),
    (
        re.compile(rf"([?&;][^=&;\s]*(?:{_SENSITIVE}|\bsig\b|\bkey\b)[^=&;\s]*=)[^&;\s]+", re.IGNORECASE),
        r"\1***",
    ),
    (re.compile(rf"(^[\w.\[\]-]*(?:{_SENSITIVE})[\w.\[\]-]*=).+", re.IGNORECASE), r"\1***"),
)
_LIBRARIES = (
    "echolens",
    "ray",
    "torch",
    "transformers",
    "open_clip_torch",
    "faiss-gpu",
    "faiss-cpu",
    "pyarrow",
)


def redact(text: str) -> str:
    """Return a text without what looks like a secret in it."""
    for pattern, instead in _STRUCK:
        text = pattern.sub(instead, text)
    return text


@dataclass
class JobRun:
    """A job under way, and what it has done so far.

    Attributes:
        verb: what runs.
        arguments: as they were given.
        root: of the dataset, once the job knows it.
    """

    verb: str
    arguments: Sequence[str]
    root: Root | None = None
    rows: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    seconds: Counter[str] = field(default_factory=Counter)
    _began: datetime = field(default_factory=lambda: datetime.now(UTC))
    _ticks: float = field(default_factory=time.monotonic)

    @property
    def name(self) -> str:
        """The run's folder in runs/: when it began."""
        return self._began.strftime("%Y%m%dT%H%M%S.%fZ")

    def add(self, rows: int, outcomes: Mapping[str, int], seconds: Mapping[str, float]) -> None:
        """Add rows that are through, their outcomes by `outcome/reason`, and seconds of work by word."""
        self.rows += rows
        self.outcomes.update(outcomes)
        for word, took_s in seconds.items():
            self.seconds[word] += took_s  # type: ignore[assignment]

    def end(self, outcome: str, error: str = "") -> None:
        """Write the run's record, if there is a dataset that it belongs to."""
        # A root that is not there yet is not made for the record of a mistake; and one that cannot be written
        # has made the job itself say so, or was only read.
        with suppress(EcholensError):
            if self.root is not None and self.root.exists("dataset.json"):
                self.root.write_json(f"runs/{self.name}/run.json", self._record(outcome, error))

    def _record(self, outcome: str, error: str) -> dict[str, Any]:
        return RunRecord(
            run=self.name,
            verb=self.verb,
            arguments=[redact(argument) for argument in self.arguments],
            versions=_versions(),
            host=socket.gethostname(),
            started=self._began.isoformat(timespec="milliseconds"),
            ended=datetime.now(UTC).isoformat(timespec="milliseconds"),
            outcome=outcome,
            error=redact(error),
            rows=self.rows,
            outcomes=dict(sorted(self.outcomes.items())),
            wall_s=round(time.monotonic() - self._ticks, 3),
            seconds={word: round(took_s, 3) for word, took_s in sorted(self.seconds.items())},
        ).model_dump(mode="json")


_current: JobRun | None = None


def begin(verb: str, arguments: Sequence[str]) -> JobRun:
    """Begin the record of this process's job."""
    global _current  # noqa: PLW0603 a process is one job
    _current = JobRun(verb, list(arguments))
    return _current


def get_current() -> JobRun | None:
    """Return the job of this process, if it is one."""
    return _current


def get_log_folder() -> str:
    """Return the URL of the folder for logs, or nothing where nobody keeps any."""
    if _current is None or _current.root is None:
        return ""
    return f"{_current.root.url}/runs/{_current.name}"


class ShardLog:
    """Collects the events of one shard in one step and writes them when it is over."""

    def __init__(self, folder: str, step: str, shard: int) -> None:
        self._folder, self._step, self._shard = folder, step, shard
        self._lines: list[str] = []

    def add_event(self, what: str, **fields: Any) -> None:
        """Add an event; texts among its fields are struck."""
        if not self._folder:
            return
        line: dict[str, Any] = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "event": what,
            "step": self._step,
            "shard": self._shard,
        }
        clean = {name: redact(value) if isinstance(value, str) else value for name, value in fields.items()}
        self._lines.append(json.dumps(line | clean, ensure_ascii=False))

    def record_rows(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """Pass batches on, with an event for every row that is not ok."""
        for batch in batches:
            urls = batch.get("media_url", [None] * len(batch["key"]))
            for key, outcome, reason, url in zip(
                batch["key"], batch["outcome"], batch["reason"], urls, strict=True
            ):
                if outcome != "ok":
                    where = {"url": url} if url else {}
                    self.add_event("row", key=key, outcome=outcome, reason=reason, **where)
            yield batch

    def write(self) -> None:
        """Write the events, if there are any."""
        if self._lines:
            name = f"{self._shard:05d}-{self._step}.jsonl"
            Root.from_url(self._folder).write(name, ("\n".join(self._lines) + "\n").encode())
            self._lines.clear()


@contextmanager
def open_shard_log(folder: str, step: str, shard: Shard) -> Iterator[ShardLog]:
    """Keep the log of a shard in a step, however that ends.

    Args:
        folder: URL of the folder for it; nothing is kept without one.
        step: the word for the step.
        shard: which.
    """
    log = ShardLog(folder, step, shard.number)
    worker = {"host": socket.gethostname(), "pid": os.getpid()}
    log.add_event("started", kind=shard.kind, lane=shard.lane, rows=shard.rows, **worker)
    begun = time.monotonic()
    try:
        yield log
    except Exception as error:
        log.add_event(
            "failed", error=f"{type(error).__name__}: {error}", took_s=round(time.monotonic() - begun, 3)
        )
        # What went wrong with the shard is what is to be said, though its log may not be writable either.
        with suppress(EcholensError):
            log.write()
        raise
    log.add_event("committed", took_s=round(time.monotonic() - begun, 3))
    log.write()


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "system": f"{sys.platform} {platform.machine()}"}
    for library in _LIBRARIES:
        with suppress(metadata.PackageNotFoundError):
            found[library] = metadata.version(library)
    return found
