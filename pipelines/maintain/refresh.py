"""Plan a refresh: compare the lists with the dataset, and write a plan of the rows to process, if any.

Rows are joined by id and kind. Everything is decided here; the rest is as in a build: fetch and encode the
shards of the plan, then publish.

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

from pipelines.compute.child_process import ReportProgress, run_with_scratch
from pipelines.fetch.ratelimit.limits import find_limits
from pipelines.maintain.links import LinkCheck, recheck_links
from pipelines.maintain.snapshot import format_parquet, get_keys_per_shard, read_dataset
from pipelines.source.counts import count_lists
from pipelines.source.database import DEFAULT_SIZE, DatabaseSize
from pipelines.source.lanes import ROWS_IN_ORDER, plan_shards
from pipelines.source.plan import read_lists, write_candidates, write_ruled_out
from pipelines.source.registry import make_lists
from pipelines.store import plans
from pipelines.store.root import Root
from schemas.candidate import format_key, parse_key
from schemas.dataset import Dataset
from schemas.dataset import Refresh as RefreshSettings
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
    """What a refresh has to do.

    Attributes:
        new: candidates that are in the lists and not in the dataset.
        retried: candidates that are tried again.
        waiting: candidates whose next try is not due yet.
        unlisted: candidates whose rows have left the lists.
        listed_again: candidates whose rows are back in the lists.
        missing: samples whose link is dead for the first time.
        gone: samples whose link is dead for good.
        requested: links that were rechecked.
        recounted: whether the counts of rows without a key have changed.
        shards: that the plan adds.
    """

    new: int = 0
    retried: int = 0
    waiting: int = 0
    unlisted: int = 0
    listed_again: int = 0
    missing: int = 0
    gone: int = 0
    requested: int = 0
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
    """Options of one refresh.

    Attributes:
        retry: outcomes, or outcome/reason, that are tried again now, whenever they were tried last.
        recheck: whether the links of all samples are requested.
        publish: whether a version is published even if nothing changed.
    """

    retry: tuple[str, ...] = ()
    recheck: bool = False
    publish: bool = False


def plan_refresh(  # noqa: PLR0913, PLR0917 - the dataset and its configuration
    dataset: Dataset,
    root: Root,
    version: Version | None,
    options: RefreshOptions,
    progress: ReportProgress | None = None,
    size: DatabaseSize = DEFAULT_SIZE,
) -> Changes:
    """Compare the lists with the dataset in a subprocess, and write the plan of the rows to process, if any.

    Args:
        dataset: its configuration.
        root: of the dataset; every shard of its plans is committed.
        version: the current one; None if none was ever published.
        options: of this refresh.
        progress: receives a list and its rows read, "links" and how many were requested, "candidates" and
            how many were written.
        size: of the database.

    Raises:
        ListError: a list is missing, damaged, empty or of another format. Nothing is written.
        ConfigError: a source names a column or value that its list does not have. Nothing is written.
        StopJob: the disk has no room for the lists.
    """
    return run_with_scratch(compare, dataset, root, version, options, size, report=progress)


def compare(  # noqa: PLR0913, PLR0917 - a process takes no closure
    scratch: Path,
    report: ReportProgress,
    dataset: Dataset,
    root: Root,
    version: Version | None,
    options: RefreshOptions,
    size: DatabaseSize,
) -> Changes:
    """Do what `plan_refresh` does, in this process.

    Args:
        scratch: an empty folder for the database.
        report: as `progress` there.
        dataset: its configuration.
        root: of the dataset.
        version: the current one, if any.
        options: of this refresh.
        size: of the database.
    """
    plans.remove_orphans(root)
    with read_lists(scratch, report, dataset, size) as (rows, read):
        read_dataset(rows, root, dataset, plans.list_shards(root), version)
        rows.execute(_WANTED_NOW)
        links = LinkCheck(plans.read_missing(root), plans.read_dead(root))
        if options.recheck or dataset.refresh.recheck:
            links = recheck_links(_iterate_links(rows, dataset), dataset, links, report)
        _choose_rows(rows, dataset, options.retry)
        unlisted = rows.execute(_UNLISTED).fetchnumpy()["key"].astype(np.int64)
        counts = count_lists(rows, make_lists(dataset), [], read)
        changes = _count_changes(rows, root, counts, unlisted, links)
        if changes.any or options.publish:
            return _write_plan(rows, root, dataset, counts, unlisted, links, changes, report)
        return changes


def _iterate_links(rows: DuckDBPyConnection, dataset: Dataset) -> Iterator[tuple[str, list[str], float]]:
    """Yield the links of samples in an order that mixes hosts; not of videos, whose page may outlive them."""
    values = {
        "keys_a_shard": get_keys_per_shard(dataset.shard_rows),
        "form": f"%0{len(format_key(0, 0, dataset.shard_rows))}d",
        "videos": dataset.fetch.video.site.partition("{")[0],
    }
    live = rows.cursor().execute(_LIVE, values)
    while link := live.fetchone():
        yield link


def _choose_rows(rows: DuckDBPyConnection, dataset: Dataset, retry: Collection[str]) -> None:
    """Create the table `todo`: candidates that are new, and those that are due."""
    waits: list[tuple[str, str, int, float]] = []
    for outcome, reason, tries in rows.execute(_FATES).fetchall():
        wait_s = _get_wait_s(dataset.refresh, outcome, reason, tries)
        if {outcome, format_outcome(outcome, reason)} & set(retry):
            wait_s = 0.0
        if wait_s is not None and reason != "purged":
            waits.append((outcome, reason, tries, wait_s))
    rows.execute("CREATE TABLE waits (outcome VARCHAR, reason VARCHAR, tries BIGINT, wait_s DOUBLE)")
    if waits:
        rows.executemany("INSERT INTO waits VALUES (?, ?, ?, ?)", waits)
    values = {"keys_a_shard": get_keys_per_shard(dataset.shard_rows), "now": time.time()}
    rows.execute(_DUE_OR_NEW, values)


def _get_wait_s(settings: RefreshSettings, outcome: str, reason: str, tries: int) -> float | None:
    """Return how long a candidate waits after so many tries; None if it is not tried again."""
    waits = settings.get_retry_days(outcome, reason)
    return waits[min(tries, len(waits)) - 1] * _DAY_S if waits else None


def _count_changes(
    rows: DuckDBPyConnection, root: Root, counts: PlanCounts, unlisted: np.ndarray, links: LinkCheck
) -> Changes:
    folder = plans.list_folders(root)[-1]
    before = plans.read_counts(root, folder)
    unlisted_before = plans.read_unlisted(root)["key"].cast(pa.int64()).to_numpy()
    new, retried = rows.execute("SELECT count(*) - count(before), count(before) FROM todo").fetchall()[0]
    can_come_back = rows.execute(_CAN_COME_BACK).fetchall()[0][0]
    ruled_out = format_parquet(root, [f"{folder}/filtered.parquet"])
    others = rows.execute(_RULED_OUT_BEFORE.format(before=ruled_out)).fetchall()[0][0]
    same = {"rows_read", "rejects", "duplicates", "candidates", "reject_reasons", "filtered"}
    return Changes(
        new=new,
        retried=retried,
        waiting=can_come_back - retried,
        unlisted=len(np.setdiff1d(unlisted, unlisted_before)),
        listed_again=len(np.setdiff1d(unlisted_before, unlisted)),
        missing=links.newly_missing,
        gone=links.newly_dead,
        requested=links.requested,
        recounted=bool(others)
        or links.changed
        or before.model_dump(include=same) != counts.model_dump(include=same),
    )


def _write_plan(  # noqa: PLR0913, PLR0917
    rows: DuckDBPyConnection,
    root: Root,
    dataset: Dataset,
    counts: PlanCounts,
    unlisted: np.ndarray,
    links: LinkCheck,
    changes: Changes,
    report: ReportProgress,
) -> Changes:
    """Write the files of the plan; the counts, which commit it, are the last."""
    folder, first = plans.get_next_folder(root), plans.get_next_shard(root)
    write_ruled_out(rows, root, dataset.sources, folder)
    # The functions below plan the rows of `kept`, so it becomes `todo`.
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
    root.write_table(f"{folder}/superseded.parquet", _make_superseded(rows, sizes, first, dataset.shard_rows))
    keys = [format_key(*parse_key(int(key), dataset.shard_rows), dataset.shard_rows) for key in unlisted]
    root.write_table(f"{folder}/unlisted.parquet", pa.table([pa.array(keys, pa.string())], plans.KEYS))
    root.write_table(f"{folder}/missing.parquet", links.missing)
    root.write_table(f"{folder}/dead.parquet", links.dead)
    totals = counts.model_copy(update={"lanes": tuple(lane for lane, _ in lanes)})
    root.write(f"{folder}/{plans.MARKER}", (totals.model_dump_json(indent=2) + "\n").encode())
    return Changes(**{name: getattr(changes, name) for name in changes.__slots__} | {"shards": len(sizes)})


def _make_superseded(rows: DuckDBPyConnection, sizes: Sequence[int], first: int, shard_rows: int) -> pa.Table:
    """Return the keys that the plan supersedes, and by which (SUPERSEDED), in the order of the latter."""
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

    def format_keys(numbers: np.ndarray) -> list[str]:
        return [format_key(*parse_key(int(number), shard_rows), shard_rows) for number in numbers]

    return pa.table([format_keys(old[by_new]), format_keys(new[by_new])], schema=SUPERSEDED)
