"""The links of samples, asked for again: a sample goes if its link is dead at two refreshes a day apart."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import pyarrow as pa

from pipelines.compute.child_process import ReportProgress
from schemas.dataset import Dataset
from schemas.outcome import Outcome
from schemas.version import MISSING

# In flight; the next ones wait for the slowest of them.
_AT_ONCE = 1000


@dataclass(frozen=True)
class LinkCheck:
    """What is known of the links of samples.

    Attributes:
        missing: samples whose link was found dead, and when first (MISSING).
        dead: samples whose link is gone for good (MISSING).
        asked: links that were asked for.
        newly_missing: samples that are missing for the first time.
        newly_dead: samples that are gone since this refresh.
        changed: whether a link that was missing has come back.
    """

    missing: pa.Table
    dead: pa.Table
    asked: int = 0
    newly_missing: int = 0
    newly_dead: int = 0
    changed: bool = False

    @classmethod
    def none(cls, missing: pa.Table, dead: pa.Table) -> LinkCheck:
        """Return what was known before."""
        return cls(missing, dead)


def recheck(
    live: Iterable[tuple[str, list[str], float]], dataset: Dataset, known: LinkCheck, report: ReportProgress
) -> LinkCheck:
    """Ask for the links of samples, by conditional requests, and return what is known then.

    A server that knows If-Modified-Since answers 304 to what it has not changed since it was fetched; the
    body of any other answer is not read. Only an answer that says so makes a link dead: a timeout, a 5xx or
    a 403 changes nothing.

    Args:
        live: link, the keys of the samples that have it, and when it was fetched, in seconds since 1970.
        dataset: says how to ask.
        known: from the refreshes before.
        report: is told "links" and how many were asked for.
    """
    return asyncio.run(_recheck(iter(live), dataset, known, report))


async def _recheck(
    live: Iterator[tuple[str, list[str], float]], dataset: Dataset, known: LinkCheck, report: ReportProgress
) -> LinkCheck:
    from pipelines.fetch.http_client import HttpClient

    web = HttpClient(dataset.fetch, dataset.contact)
    now = datetime.now(UTC).replace(microsecond=0)
    old = timedelta(hours=dataset.refresh.gone_after_h)
    since = {row["key"]: row["since"] for row in known.missing.to_pylist()}
    found: dict[str, Outcome] = {}
    back: set[str] = set()
    asked = 0

    async def ask(url: str, keys: list[str], tried_s: float) -> None:
        answer = await web.get(url, io.BytesIO(), datetime.fromtimestamp(tried_s, UTC))
        if answer.outcome.status == "ok":
            # Only what was missing has to be known to be back.
            back.update(key for key in keys if key in since)
        elif answer.outcome.status == "dead":
            found.update(dict.fromkeys(keys, answer.outcome))

    try:
        for links in iter(lambda: list(islice(live, _AT_ONCE)), []):
            async with asyncio.TaskGroup() as group:
                for link in links:
                    group.create_task(ask(*link))
            asked += len(links)
            report("links", asked)
    finally:
        await web.close()
    return _judged(known, found, back, now, old, asked)


def _judged(  # noqa: PLR0913, PLR0917 - what was known, and what was found
    known: LinkCheck,
    found: Mapping[str, Outcome],
    back: Collection[str],
    now: datetime,
    old: timedelta,
    asked: int,
) -> LinkCheck:
    before = {row["key"]: row for row in known.missing.to_pylist()}
    missing, dead = dict(before), {row["key"]: row for row in known.dead.to_pylist()}
    newly_dead = 0
    for key, outcome in found.items():
        row = before.get(key) or {"key": key, "since": now}
        row = row | {"outcome": outcome.status, "reason": outcome.reason}
        if key in before and now - row["since"] >= old:
            missing.pop(key)
            dead[key] = row | {"since": now}
            newly_dead += 1
        else:
            missing[key] = row
    for key in back:
        missing.pop(key, None)
    return replace(
        known,
        missing=_table(missing.values()),
        dead=_table(dead.values()),
        asked=asked,
        newly_missing=len(missing.keys() - before.keys()),
        newly_dead=newly_dead,
        changed=bool(back),
    )


def _table(rows: Iterable[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(sorted(rows, key=lambda row: int(row["key"])), schema=MISSING)
