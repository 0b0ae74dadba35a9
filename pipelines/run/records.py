"""Run records and shard logs, beside a dataset and no part of it: runs/RUN/run.json and runs/RUN/*.jsonl.

    run.json             the record of a job: verb, arguments, versions, begin, end, outcome, counts, seconds
    00012-fetch.jsonl    the log of a shard in a step, one line an event, with the shard and the key

A log is written once, when the shard ends: object stores cannot append. Secrets are redacted: users,
passwords and signatures in URLs, and the values of keys whose names suggest a secret.
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
_REDACTIONS = (
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
    """Return a text with everything that looks like a secret replaced by ***."""
    for pattern, replacement in _REDACTIONS:
        text = pattern.sub(replacement, text)
    return text


@dataclass
class JobRun:
    """A running job and its counts so far.

    Attributes:
        verb: of the command.
        arguments: of the command.
        root: of the dataset, once the job knows it.
        rows: that are done.
        outcomes: of the rows, by `outcome/reason`.
        seconds: of work, by kind.
    """

    verb: str
    arguments: Sequence[str]
    root: Root | None = None
    rows: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    seconds: Counter[str] = field(default_factory=Counter)
    _started: datetime = field(default_factory=lambda: datetime.now(UTC))
    _started_s: float = field(default_factory=time.monotonic)

    @property
    def name(self) -> str:
        """The run's folder in runs/: the time at which it began."""
        return self._started.strftime("%Y%m%dT%H%M%S.%fZ")

    def add(self, rows: int, outcomes: Mapping[str, int], seconds: Mapping[str, float]) -> None:
        """Add rows that are done, their outcomes by `outcome/reason`, and seconds of work by kind."""
        self.rows += rows
        self.outcomes.update(outcomes)
        for kind, spent_s in seconds.items():
            self.seconds[kind] += spent_s  # type: ignore[assignment]

    def end(self, outcome: str, error: str = "") -> None:
        """Write the run's record, if its dataset exists.

        Args:
            outcome: of the job, as in `ok` or `failed`.
            error: its message.
        """
        # A failed job does not create a root for its record; and if the root cannot be written, the job has
        # said so itself, or only read it.
        with suppress(EcholensError):
            if self.root is not None and self.root.exists("dataset.json"):
                self.root.write_json(f"runs/{self.name}/run.json", self._make_record(outcome, error))

    def _make_record(self, outcome: str, error: str) -> dict[str, Any]:
        return RunRecord(
            run=self.name,
            verb=self.verb,
            arguments=[redact(argument) for argument in self.arguments],
            versions=_read_versions(),
            host=socket.gethostname(),
            started=self._started.isoformat(timespec="milliseconds"),
            ended=datetime.now(UTC).isoformat(timespec="milliseconds"),
            outcome=outcome,
            error=redact(error),
            rows=self.rows,
            outcomes=dict(sorted(self.outcomes.items())),
            wall_s=round(time.monotonic() - self._started_s, 3),
            seconds={kind: round(spent_s, 3) for kind, spent_s in sorted(self.seconds.items())},
        ).model_dump(mode="json")


_current: JobRun | None = None


def begin(verb: str, arguments: Sequence[str]) -> JobRun:
    """Begin the record of this process's job."""
    global _current  # noqa: PLW0603 a process is one job
    _current = JobRun(verb, list(arguments))
    return _current


def get_current() -> JobRun | None:
    """Return the job of this process, if there is one."""
    return _current


def get_log_folder() -> str:
    """Return the URL of the folder for shard logs; empty outside a job."""
    if _current is None or _current.root is None:
        return ""
    return _current.root.enter(f"runs/{_current.name}").url


class ShardLog:
    """Collects the events of one shard in one step, and writes them when it ends."""

    def __init__(self, folder: str, step: str, shard: int) -> None:
        self._folder, self._step, self._shard = folder, step, shard
        self._lines: list[str] = []

    def add_event(self, name: str, **fields: Any) -> None:
        """Add an event; its fields are redacted."""
        if not self._folder:
            return
        line: dict[str, Any] = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "event": name,
            "step": self._step,
            "shard": self._shard,
        }
        redacted = {key: redact(value) if isinstance(value, str) else value for key, value in fields.items()}
        self._lines.append(json.dumps(line | redacted, ensure_ascii=False))

    def record_rows(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """Yield batches unchanged; add an event for every row that is not ok."""
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
    """Open the log of a shard in a step; it is written whether the step succeeds or fails.

    Args:
        folder: URL of the folder for the log; empty for none.
        step: name of the step.
        shard: the shard.
    """
    log = ShardLog(folder, step, shard.number)
    worker = {"host": socket.gethostname(), "pid": os.getpid()}
    log.add_event("started", kind=shard.kind, lane=shard.lane, rows=shard.rows, **worker)
    started_s = time.monotonic()
    try:
        yield log
    except Exception as error:
        log.add_event(
            "failed", error=f"{type(error).__name__}: {error}", took_s=round(time.monotonic() - started_s, 3)
        )
        # The shard's error is the one to raise, even if its log cannot be written either.
        with suppress(EcholensError):
            log.write()
        raise
    log.add_event("committed", took_s=round(time.monotonic() - started_s, 3))
    log.write()


def _read_versions() -> dict[str, str]:
    versions = {"python": platform.python_version(), "system": f"{sys.platform} {platform.machine()}"}
    for library in _LIBRARIES:
        with suppress(metadata.PackageNotFoundError):
            versions[library] = metadata.version(library)
    return versions
