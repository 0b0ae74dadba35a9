"""The lists as they are, against the dataset as it is -> the plan of what is to be done, if anything is.

Rows are joined by what they are (id and kind). Everything is decided here; what follows is the same as for
a build: fetch and encode the shards of the plan, then publish.

| table      | a row is                                                                      |
|------------|-------------------------------------------------------------------------------|
| wanted_now | a candidate of the lists that needs a key                                     |
| todo       | a candidate that gets a key in this plan, with the key that it had before     |
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from pipelines.compute.child_process import ReportProgress, run_in_subprocess
from pipelines.fetch.ratelimit.limits import find_limits
from pipelines.maintain.links import LinkCheck, recheck
from pipelines.maintain.snapshot import format_parquet, get_keys_per_shard, read_dataset
from pipelines.source.counts import count
from pipelines.source.database import DEFAULT_SIZE, DatabaseSize
from pipelines.source.lanes import ROWS_IN_ORDER, plan_shards
from pipelines.source.plan import read_lists, write_candidates, write_ruled_out
from pipelines.store import plans
from pipelines.store.root import Root
from schemas.candidate import format_key, parse_key
from schemas.dataset import Dataset
from schemas.dataset import Refresh as Wanted
from schemas.outcome import format_outcome
from schemas.plan import LaneCounts, PlanCounts
from schemas.version import SUPERSEDED, Version

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_DAY_S = 86_400.0

_WANTED_NOW = """
CREATE VIEW wanted_now AS
SELECT seq, id, kind FROM listed SEMI JOIN kept USING (seq) WHERE ruled_out IS NULL
"""
_FATES = "SELECT DISTINCT outcome, reason, tries FROM latest WHERE outcome <> 'ok'"
_DUE_OR_NEW = """
CREATE TABLE todo AS
SELECT seq, NULL::BIGINT AS before FROM wanted_now ANTI JOIN latest USING (id, kind)
UNION ALL
SELECT seq, key FROM wanted_now JOIN latest USING (id, kind)
JOIN waits USING (outcome, reason, tries)
JOIN shard_tried ON shard_tried.shard = key // $keys_a_shard
WHERE coalesce(found_s, shard_tried.tried_s) + wait_s <= $now
"""
_CAN_COME_BACK = """
SELECT count(*) FROM wanted_now JOIN latest USING (id, kind) JOIN waits USING (outcome, reason, tries)
"""
_UNLISTED = "SELECT key FROM latest ANTI JOIN wanted_now USING (id, kind) ORDER BY key"
_LIVE = """
SELECT media_url, list(printf($form, key) ORDER BY key), min(shard_tried.tried_s)
FROM latest SEMI JOIN wanted_now USING (id, kind)
JOIN shard_tried ON shard_tried.shard = key // $keys_a_shard
WHERE outcome = 'ok' AND regexp_matches(media_url, '^(?i)https?:') AND NOT starts_with(media_url, $videos)
GROUP BY media_url ORDER BY hash(media_url)
"""
_RULED_OUT_BEFORE = """
SELECT count(*) FROM (
    (SELECT id, reason FROM {before} EXCEPT
     SELECT id, ruled_out FROM listed SEMI JOIN kept USING (seq) WHERE ruled_out IS NOT NULL))
"""


@dataclass(frozen=True, slots=True)
class Changes:
    """What a refresh found to do.

    Attributes:
        new: candidates that the lists have and the dataset had not.
        retried: candidates that are tried again.
        waiting: candidates whose next try is not due yet.
        unlisted: candidates whose rows left the lists since.
        listed_again: candidates whose rows came back.
        missing: samples whose link was found dead for the first time.
        gone: samples whose link was found dead for good.
        asked: links that were asked for.
        recounted: whether the lists hold other rows that need no key.
        shards: that the plan adds.
    """

    new: int = 0
    retried: int = 0
    waiting: int = 0
    unlisted: int = 0
    listed_again: int = 0
    missing: int = 0
    gone: int = 0
    asked: int = 0
    recounted: bool = False
    shards: int = 0

    @property
    def any(self) -> bool:
        """Whether there is anything to publish."""
        return self.recounted or any(
            (self.new, self.retried, self.unlisted, self.listed_again, self.missing, self.gone)
        )


@dataclass(frozen=True, slots=True)
class RefreshOptions:
    """What a person asks of one refresh.

    Attributes:
        retry: outcomes, or outcome/reason, that are tried again whenever they were tried last.
        recheck: whether the links of all samples are asked for.
        publish: whether a version is wanted even if nothing changed.
    """

    retry: tuple[str, ...] = ()
    recheck: bool = False
    publish: bool = False


def plan_refresh(  # noqa: PLR0913, PLR0917 - the dataset as it is and as it is wanted
    dataset: Dataset,
    root: Root,
    version: Version | None,
    asked: RefreshOptions,
    progress: ReportProgress | None = None,
    size: DatabaseSize = DEFAULT_SIZE,
) -> Changes:
    """Compare the lists with the dataset and write the plan of what is to be done, if there is anything.

    Args:
        dataset: what is wanted.
        root: where it lies; every shard of its plans is committed.
        version: the current one, None if none was ever published.
        asked: for this once.
        progress: is told a list and how many of its rows are read, "links" and how many were asked for,
            "candidates" and how many of them are written.
        size: of the database.

    Raises:
        ListError: a list is missing, damaged, empty or of another format. Nothing is written.
        ConfigError: a source names what its list does not have. Nothing is written.
        StopJob: there is no room for the lists.
    """
    return run_in_subprocess(compare, dataset, root, version, asked, size, report=progress)


def compare(  # noqa: PLR0913, PLR0917 - a process has no closure
    scratch: Path,
    report: ReportProgress,
    dataset: Dataset,
    root: Root,
    version: Version | None,
    asked: RefreshOptions,
    size: DatabaseSize,
) -> Changes:
    """Do what `plan_refresh` says, in this process.

    Args:
        scratch: an empty folder for the database.
        report: as `progress` there.
        dataset: what is wanted.
        root: where it lies.
        version: the current one, if any.
        asked: for this once.
        size: of the database.
    """
    plans.remove_orphans(root)
    with read_lists(scratch, report, dataset, size) as rows:
        read_dataset(rows, root, dataset, plans.list_shards(root), version)
        rows.execute(_WANTED_NOW)
        links = LinkCheck.none(plans.read_missing(root), plans.read_dead(root))
        if asked.recheck or dataset.refresh.recheck:
            links = recheck(_live(rows, dataset), dataset, links, report)
        _choose(rows, dataset, asked.retry)
        unlisted = rows.execute(_UNLISTED).fetchnumpy()["key"].astype(np.int64)
        counts = count(rows, dataset.sources, [])
        changes = _changes(rows, root, counts, unlisted, links)
        if changes.any or asked.publish:
            return _write(rows, root, dataset, counts, unlisted, links, changes, report)
        return changes


def _live(rows: DuckDBPyConnection, dataset: Dataset) -> Iterator[tuple[str, list[str], float]]:
    """Yield the links of samples, neighbours on different hosts; a video's page says nothing of the video."""
    values = {
        "keys_a_shard": get_keys_per_shard(dataset.shard_rows),
        "form": f"%0{len(format_key(0, 0, dataset.shard_rows))}d",
        "videos": dataset.fetch.video.site.partition("{")[0],
    }
    live = rows.cursor().execute(_LIVE, values)
    while link := live.fetchone():
        yield link


def _choose(rows: DuckDBPyConnection, dataset: Dataset, forced: Collection[str]) -> None:
    """Make `todo`: what is new, and what is due."""
    waits: list[tuple[str, str, int, float]] = []
    for outcome, reason, tries in rows.execute(_FATES).fetchall():
        wait_s = _wait_s(dataset.refresh, outcome, reason, tries)
        if {outcome, format_outcome(outcome, reason)} & set(forced):
            wait_s = 0.0
        if wait_s is not None and reason != "purged":
            waits.append((outcome, reason, tries, wait_s))
    rows.execute("CREATE TABLE waits (outcome VARCHAR, reason VARCHAR, tries BIGINT, wait_s DOUBLE)")
    if waits:
        rows.executemany("INSERT INTO waits VALUES (?, ?, ?, ?)", waits)
    values = {"keys_a_shard": get_keys_per_shard(dataset.shard_rows), "now": time.time()}
    rows.execute(_DUE_OR_NEW, values)


def _wait_s(wanted: Wanted, outcome: str, reason: str, tries: int) -> float | None:
    """Return how long a row rests after it was tried so many times; None is for ever."""
    waits = wanted.waits_days(outcome, reason)
    return waits[min(tries, len(waits)) - 1] * _DAY_S if waits else None


def _changes(
    rows: DuckDBPyConnection, root: Root, counts: PlanCounts, unlisted: np.ndarray, links: LinkCheck
) -> Changes:
    folder = plans.list_folders(root)[-1]
    before = plans.read_counts(root, folder)
    was = plans.read_unlisted(root)["key"].cast(pa.int64()).to_numpy()
    new, retried = rows.execute("SELECT count(*) - count(before), count(before) FROM todo").fetchall()[0]
    can_come_back = rows.execute(_CAN_COME_BACK).fetchall()[0][0]
    ruled_out = format_parquet(root, [f"{folder}/filtered.parquet"])
    others = rows.execute(_RULED_OUT_BEFORE.format(before=ruled_out)).fetchall()[0][0]
    same = {"rows_read", "rejects", "duplicates", "candidates", "reject_reasons", "filtered"}
    return Changes(
        new=new,
        retried=retried,
        waiting=can_come_back - retried,
        unlisted=len(np.setdiff1d(unlisted, was)),
        listed_again=len(np.setdiff1d(was, unlisted)),
        missing=links.newly_missing,
        gone=links.newly_dead,
        asked=links.asked,
        recounted=bool(others)
        or links.changed
        or before.model_dump(include=same) != counts.model_dump(include=same),
    )


def _write(  # noqa: PLR0913, PLR0917
    rows: DuckDBPyConnection,
    root: Root,
    dataset: Dataset,
    counts: PlanCounts,
    unlisted: np.ndarray,
    links: LinkCheck,
    changes: Changes,
    report: ReportProgress,
) -> Changes:
    """Write the plan, its counts last."""
    folder, first = plans.get_next_folder(root), plans.get_next_shard(root)
    write_ruled_out(rows, root, dataset.sources, folder)
    # What follows plans the rows of `kept`: those to do.
    rows.execute("DROP VIEW wanted_now")
    rows.execute("DROP TABLE kept")
    rows.execute("CREATE TABLE kept AS SELECT seq FROM todo")
    lanes: list[tuple[LaneCounts, list[int]]] = []
    if changes.new or changes.retried:
        lanes = plan_shards(rows, dataset.shard_rows, dataset.seed, find_limits(dataset.fetch))
    sizes = [size for _, shards in lanes for size in shards]
    if sizes:
        write_candidates(rows, root, lanes, report, folder, first)
    else:
        root.write_table(f"{folder}/shards.parquet", plans.NO_SHARDS)
    root.write_table(f"{folder}/superseded.parquet", _superseded(rows, sizes, first, dataset.shard_rows))
    keys = [format_key(*parse_key(int(key), dataset.shard_rows), dataset.shard_rows) for key in unlisted]
    root.write_table(f"{folder}/unlisted.parquet", pa.table([pa.array(keys, pa.string())], plans.KEYS))
    root.write_table(f"{folder}/missing.parquet", links.missing)
    root.write_table(f"{folder}/dead.parquet", links.dead)
    whole = counts.model_copy(update={"lanes": tuple(lane for lane, _ in lanes)})
    root.write(f"{folder}/{plans.MARKER}", (whole.model_dump_json(indent=2) + "\n").encode())
    return Changes(**{name: getattr(changes, name) for name in changes.__slots__} | {"shards": len(sizes)})


def _superseded(rows: DuckDBPyConnection, sizes: Sequence[int], first: int, shard_rows: int) -> pa.Table:
    """Return which keys the plan tries again, and under which (SUPERSEDED), in the order of the new keys."""
    if not sizes:
        return SUPERSEDED.empty_table()
    seqs = rows.execute(f"SELECT listed.seq AS seq {ROWS_IN_ORDER}").fetchnumpy()["seq"]
    step = get_keys_per_shard(shard_rows)
    keys = np.concatenate([np.arange(size) + (first + at) * step for at, size in enumerate(sizes)])
    pairs = rows.execute("SELECT seq, before FROM todo WHERE before IS NOT NULL ORDER BY seq").fetchnumpy()
    order = np.argsort(seqs)
    new = keys[order[np.searchsorted(seqs[order], pairs["seq"])]]
    old = np.asarray(pairs["before"], dtype=np.int64)
    by_new = np.argsort(new)

    def named(numbers: np.ndarray) -> list[str]:
        return [format_key(*parse_key(int(number), shard_rows), shard_rows) for number in numbers]

    return pa.table([named(old[by_new]), named(new[by_new])], schema=SUPERSEDED)
