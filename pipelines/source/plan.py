"""The plan of a dataset: lists -> candidates/NNNNN.parquet and plan/, the counts last."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.compute.child_process import ReportProgress, run_in_subprocess
from pipelines.fetch.ratelimit.limits import find_limits
from pipelines.source import audiocaps, conceptual_captions, folder, img2dataset, vggsound, wit
from pipelines.source.counts import count, count_hosts
from pipelines.source.database import DEFAULT_SIZE, DatabaseSize, add, as_disk_errors, connect, keep
from pipelines.source.lanes import ROWS_IN_ORDER, plan_shards
from pipelines.source.listing import Listing
from pipelines.store.root import Root
from schemas.candidate import CANDIDATE, FILTERED, REJECT, SHARD, format_shard
from schemas.dataset import Dataset, Source, SourceKind
from schemas.plan import LaneCounts, PlanCounts

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

PLAN = "plan"
MARKER = f"{PLAN}/counts.json"

OPEN: Mapping[SourceKind, Callable[[Source], Listing]] = {
    "wit": wit.open_list,
    "cc3m": conceptual_captions.open_list,
    "cc12m": conceptual_captions.open_list,
    "audiocaps": audiocaps.open_list,
    "vggsound": vggsound.open_list,
    "folder": folder.open_list,
    "img2dataset": img2dataset.open_list,
}
# Of plan/*.parquet, and what is read from the database at a time.
_ROW_GROUP_ROWS = 20_000


@dataclass(frozen=True)
class _Query:
    """Rows of the database as a table: the columns are those of `listed`, or as `named`."""

    schema: pa.Schema
    named: Mapping[str, str]
    sql: str


_CANDIDATES = _Query(CANDIDATE, {"lane": "wanted.lane"}, ROWS_IN_ORDER)
_FILTERED = _Query(
    FILTERED,
    {"lane": "'none'", "outcome": "'filtered'", "reason": "ruled_out"},
    "FROM listed SEMI JOIN kept USING (seq) WHERE ruled_out IS NOT NULL ORDER BY seq",
)
_REJECTS = _Query(
    REJECT,
    {"list": "lists.list", "reason": "fault"},
    "FROM listed JOIN lists ON list_number(seq) = lists.number WHERE fault IS NOT NULL ORDER BY seq",
)


def make_plan(
    dataset: Dataset, root: Root, progress: ReportProgress | None = None, size: DatabaseSize = DEFAULT_SIZE
) -> PlanCounts:
    """Read the lists of a dataset and write its plan, unless it is there; return what the lists held.

    A plan is the same bytes however often it is begun, and on any number of threads.

    Args:
        dataset: what is wanted.
        root: where the plan is written.
        progress: is told a list and how many of its rows are read, then "candidates" and how many of them
            are written.
        size: of the database.

    Raises:
        ListError: a list is missing, damaged, empty or of another format. Nothing is written.
        ConfigError: a source names what its list does not have. Nothing is written.
        StopJob: there is no room for the lists.
    """
    if root.exists(MARKER):
        return PlanCounts.model_validate_json(root.read(MARKER))
    return run_in_subprocess(_plan, dataset, root, size, report=progress)


def preview(
    dataset: Dataset, progress: ReportProgress | None = None, size: DatabaseSize = DEFAULT_SIZE
) -> PlanCounts:
    """Return what `make_plan` would, and write nothing."""
    return run_in_subprocess(_plan, dataset, None, size, report=progress)


@contextmanager
def read_lists(
    scratch: Path, report: ReportProgress, dataset: Dataset, size: DatabaseSize
) -> Iterator[DuckDBPyConnection]:
    """Give a database with all rows of all lists, and which of them are candidates."""
    sources, width_px = dataset.sources, dataset.fetch.wikimedia_width_px
    listings = [OPEN[source.kind](source) for source in sources]
    listings = [
        wit.request_width(listing, width_px) if source.kind == "wit" else listing
        for source, listing in zip(sources, listings, strict=True)
    ]
    with as_disk_errors(scratch), connect(scratch, size) as rows:
        for number, (source, listing) in enumerate(zip(sources, listings, strict=True)):
            add(rows, number, source, listing, report)
        keep(rows)
        yield rows


def _plan(
    scratch: Path, report: ReportProgress, dataset: Dataset, root: Root | None, size: DatabaseSize
) -> PlanCounts:
    with read_lists(scratch, report, dataset, size) as rows:
        lanes = plan_shards(rows, dataset.shard_rows, dataset.seed, find_limits(dataset.fetch))
        limits = [pattern for pattern, limit in find_limits(dataset.fetch).entries if limit is not None]
        counts = count(rows, dataset.sources, [lane for lane, _ in lanes])
        counts = counts.model_copy(update={"asked": count_hosts(rows, limits)})
        if root is not None:
            write_ruled_out(rows, root, dataset.sources)
            sizes = [size for _, shards in lanes for size in shards]
            _tidy(root, {f"{format_shard(shard)}.parquet" for shard in range(len(sizes))})
            write_candidates(rows, root, lanes, report)
            root.write(MARKER, (counts.model_dump_json(indent=2) + "\n").encode())
    return counts


def write_candidates(  # noqa: PLR0913, PLR0917 - a plan's rows and their place
    rows: DuckDBPyConnection,
    root: Root,
    lanes: Sequence[tuple[LaneCounts, list[int]]],
    report: ReportProgress,
    folder: str = PLAN,
    first: int = 0,
) -> None:
    """Write the candidates of planned shards, and which shards there are.

    Args:
        rows: the database, after `plan_shards`.
        root: where to.
        lanes: from `plan_shards`.
        report: is told "candidates" and how many of them are written.
        folder: of the plan.
        first: number of the first shard.
    """
    sizes = [size for _, shards in lanes for size in shards]
    written = 0
    for shard, table in enumerate(_tables(rows, _CANDIDATES, sizes), first):
        root.write_table(f"candidates/{format_shard(shard)}.parquet", table)
        written += len(table)
        report("candidates", written)
    shards = [{"kind": of.kind, "lane": of.lane, "rows": size} for of, shards in lanes for size in shards]
    numbered = [{"shard": number} | shard for number, shard in enumerate(shards, first)]
    root.write_table(f"{folder}/shards.parquet", pa.Table.from_pylist(numbered, schema=SHARD))


def write_ruled_out(
    rows: DuckDBPyConnection, root: Root, sources: Sequence[Source], folder: str = PLAN
) -> None:
    """Write what never gets a key: rejects, and candidates that their lists rule out."""
    rows.execute("CREATE TABLE lists (number BIGINT, list VARCHAR)")
    rows.executemany(
        "INSERT INTO lists VALUES (?, ?)", [(i, source.list) for i, source in enumerate(sources)]
    )
    _write_table(rows, root, f"{folder}/rejects.parquet", _REJECTS)
    _write_table(rows, root, f"{folder}/filtered.parquet", _FILTERED)


def _tidy(root: Root, expected: Collection[str]) -> None:
    """Remove from candidates/ what is not of this plan: leftovers of one that was killed."""
    for name in root.list_sizes("candidates"):
        if name not in expected:
            root.remove(f"candidates/{name}")


def _tables(rows: DuckDBPyConnection, query: _Query, sizes: Iterable[int]) -> Iterator[pa.Table]:
    """Yield the rows of a query in tables of the given numbers of rows, then what is left."""
    columns = ", ".join(f"{query.named.get(name, f'listed.{name}')} AS {name}" for name in query.schema.names)
    batches = rows.sql(f"SELECT {columns} {query.sql}").to_arrow_reader(_ROW_GROUP_ROWS)
    left = batches.schema.empty_table()
    wanted = iter(sizes)
    size = next(wanted, 0)
    for batch in batches:
        left = pa.concat_tables([left, pa.Table.from_batches([batch])])
        while 0 < size <= len(left):
            # In one chunk, or the bytes of the file would depend on the database's batches.
            yield left.slice(0, size).combine_chunks().cast(query.schema)
            left, size = left.slice(size), next(wanted, 0)
    if len(left):
        yield left.combine_chunks().cast(query.schema)


def _write_table(rows: DuckDBPyConnection, root: Root, name: str, query: _Query) -> None:
    tables = _tables(rows, query, repeat(_ROW_GROUP_ROWS))
    with (
        root.write_atomically(name) as path,
        pq.ParquetWriter(path, query.schema, compression="zstd") as writer,
    ):
        for table in tables:
            writer.write_table(table)
