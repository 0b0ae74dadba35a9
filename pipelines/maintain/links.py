"""Recheck the links of samples: a sample is removed if its link is dead at two refreshes a day apart."""

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

# Requests in flight; the next batch waits for the slowest of them.
_BATCH_LINKS = 1000


@dataclass(frozen=True)
class LinkCheck:
    """The state of the links of samples.

    Attributes:
        missing: samples whose link was dead once, and since when (MISSING).
        dead: samples whose link is dead for good (MISSING).
        requested: links that this refresh requested.
        newly_missing: samples whose link is dead for the first time.
        newly_dead: samples whose link is dead for good since this refresh.
        changed: whether a missing link works again.
    """

    missing: pa.Table
    dead: pa.Table
    requested: int = 0
    newly_missing: int = 0
    newly_dead: int = 0
    changed: bool = False


def recheck_links(
    links: Iterable[tuple[str, list[str], float]],
    dataset: Dataset,
    previous: LinkCheck,
    report: ReportProgress,
) -> LinkCheck:
    """Send a conditional request for every link, and return the state of the links after it.

    A server that supports If-Modified-Since answers 304 if the media have not changed since they were
    fetched; the body of any other response is not read. Only a response such as 404 or 410 makes a link
    dead: a timeout, a 5xx or a 403 changes nothing.

    Args:
        links: link, the keys of its samples, and when it was fetched, in seconds since 1970.
        dataset: whose fetch settings are used.
        previous: the state after the refresh before.
        report: receives "links" and the number of requests.

    Raises:
        ConfigError: a public host would have been asked without a contact.
        StopJob: the proxy of the environment wants credentials, or this machine is out of open files.
    """
    return asyncio.run(_recheck(iter(links), dataset, previous, report))


async def _recheck(
    links: Iterator[tuple[str, list[str], float]],
    dataset: Dataset,
    previous: LinkCheck,
    report: ReportProgress,
) -> LinkCheck:
    from pipelines.fetch.http_client import HttpClient

    client = HttpClient(dataset.fetch, dataset.contact)
    now = datetime.now(UTC).replace(microsecond=0)
    grace = timedelta(hours=dataset.refresh.gone_after_h)
    since = {row["key"]: row["since"] for row in previous.missing.to_pylist()}
    dead_links: dict[str, Outcome] = {}
    revived: set[str] = set()
    requested = 0

    async def check(url: str, keys: list[str], tried_s: float) -> None:
        response = await client.get(url, io.BytesIO(), datetime.fromtimestamp(tried_s, UTC))
        if response.outcome.status == "ok":
            # Only links that were missing are of interest.
            revived.update(key for key in keys if key in since)
        elif response.outcome.status == "dead":
            dead_links.update(dict.fromkeys(keys, response.outcome))

    try:
        for batch in iter(lambda: list(islice(links, _BATCH_LINKS)), []):
            async with asyncio.TaskGroup() as group:
                for link in batch:
                    group.create_task(check(*link))
            requested += len(batch)
            report("links", requested)
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from errors
    finally:
        await client.close()
    return _update(previous, dead_links, revived, now, grace, requested)


def _update(  # noqa: PLR0913, PLR0917 - the state before, and the results
    previous: LinkCheck,
    dead_links: Mapping[str, Outcome],
    revived: Collection[str],
    now: datetime,
    grace: timedelta,
    requested: int,
) -> LinkCheck:
    before = {row["key"]: row for row in previous.missing.to_pylist()}
    missing, dead = dict(before), {row["key"]: row for row in previous.dead.to_pylist()}
    newly_dead = 0
    for key, outcome in dead_links.items():
        row = before.get(key) or {"key": key, "since": now}
        row = row | {"outcome": outcome.status, "reason": outcome.reason}
        if key in before and now - row["since"] >= grace:
            missing.pop(key)
            dead[key] = row | {"since": now}
            newly_dead += 1
        else:
            missing[key] = row
    for key in revived:
        missing.pop(key, None)
    return replace(
        previous,
        missing=_make_table(missing.values()),
        dead=_make_table(dead.values()),
        requested=requested,
        newly_missing=len(missing.keys() - before.keys()),
        newly_dead=newly_dead,
        changed=bool(revived),
    )


def _make_table(rows: Iterable[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(sorted(rows, key=lambda row: int(row["key"])), schema=MISSING)
