"""The plan of a dataset: lists -> candidates/NNNNN.parquet and plan/, the counts last."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.compute.child_process import ReportProgress, run_with_scratch
from pipelines.errors import EcholensError, ListError
from pipelines.fetch.host_headers import list_address_patterns
from pipelines.fetch.ratelimit.limits import find_limits
from pipelines.source.counts import ReadList, count_hosts, count_lists
from pipelines.source.database import (
    DEFAULT_SIZE,
    DatabaseSize,
    add_list,
    as_disk_errors,
    connect,
    drop_duplicates,
)
from pipelines.source.lanes import ROWS_IN_ORDER, plan_shards
from pipelines.source.list_state import check_states, hash_list, read_states
from pipelines.source.listing import Listing, ListSource
from pipelines.source.registry import make_lists
from pipelines.store.candidate_extras import extend_schema
from pipelines.store.classes import describe
from pipelines.store.places import check_places, find_list_keys
from pipelines.store.plans import read_counts
from pipelines.store.root import Root
from schemas.candidate import CANDIDATE, CANDIDATE_EXTRAS, FILTERED, REJECT, SHARD, format_shard
from schemas.dataset import Dataset
from schemas.plan import LaneCounts, PlanCounts
from schemas.sources import Source

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

PLAN = "plan"
MARKER = f"{PLAN}/counts.json"

# Of plan/*.parquet, and rows read from the database at a time.
_ROW_GROUP_ROWS = 20_000


@dataclass(frozen=True)
class _Query:
    """A query that returns rows of the database as a table.

    Attributes:
        schema: of the table.
        expressions: column -> SQL; a column without one is that of `listed`.
        sql: the query behind SELECT and its columns.
    """

    schema: pa.Schema
    expressions: Mapping[str, str]
    sql: str


_CANDIDATES = _Query(CANDIDATE, {"lane": "wanted.lane"}, ROWS_IN_ORDER)
_FILTERED = _Query(
    FILTERED,
    {"lane": "'none'", "outcome": "'filtered'", "reason": "ruled_out"},
    "FROM listed SEMI JOIN kept USING (seq) WHERE ruled_out IS NOT NULL ORDER BY seq",
)
_REJECTS = _Query(
    REJECT,
    {"reason": "fault"},
    """FROM (
        SELECT number, false AS of_partner, seq AS place, listed.source, lists.list, line, fault, text
        FROM listed JOIN lists ON list_number(seq) = lists.number WHERE fault IS NOT NULL
        UNION ALL SELECT number, true, row, source, list, line, fault, text FROM partner_rejects
    ) AS listed ORDER BY number, of_partner, place""",
)


def make_plan(
    dataset: Dataset, root: Root, progress: ReportProgress | None = None, size: DatabaseSize = DEFAULT_SIZE
) -> PlanCounts:
    """Read the lists of a dataset and write its plan, unless it exists; return the counts of the lists.

    A plan is the same bytes however often it was interrupted, and on any number of threads.

    Args:
        dataset: to plan.
        root: of the dataset.
        progress: called with a list and the number of its rows read, then with "candidates" and the number
            of them written.
        size: of the database.

    Raises:
        ListError: a list is missing, damaged, empty or of another format. Nothing is written.
        ConfigError: a source names what its list does not have. Nothing is written.
        StopJob: the disk or the memory is too small for the lists.
    """
    if root.exists(MARKER):
        return read_counts(root, PLAN)
    return run_with_scratch(_plan, dataset, root, size, report=progress)


def preview(
    dataset: Dataset, progress: ReportProgress | None = None, size: DatabaseSize = DEFAULT_SIZE
) -> PlanCounts:
    """Return what `make_plan` would return, and write nothing."""
    return run_with_scratch(_plan, dataset, None, size, report=progress)


@contextmanager
def read_lists(
    scratch: Path, report: ReportProgress, dataset: Dataset, size: DatabaseSize
) -> Iterator[tuple[DuckDBPyConnection, list[ReadList]]]:
    """Yield a database with all rows of all lists and which are candidates, and what each list has said."""
    check_places(dataset.given_trust, find_list_keys(dataset))
    lists = make_lists(dataset)
    for each in lists:
        each.prepare(dataset.fetch, dataset.contact, report)
    states = [read_states(each) for each in lists]
    listings = [_open_list(each, dataset) for each in lists]
    with as_disk_errors(scratch), connect(scratch, size) as rows:
        read: list[ReadList] = []
        for number, (source, listing) in enumerate(zip(lists, listings, strict=True)):
            told, joined = add_list(rows, number, source, listing, dataset.filter, report)
            check_states(source, states[number])
            read.append(
                ReadList((*listing.notes, *listing.list_notes(), *told), joined, tuple(states[number]))
            )
        drop_duplicates(rows)
        yield rows, read


def _open_list(source: ListSource, dataset: Dataset) -> Listing:
    """Return an opened list; what a class of somebody's own raises or returns is one sentence."""
    try:
        listing = source.open_list(dataset.fetch)
    except (EcholensError, OSError):
        raise
    except Exception as error:
        if ":" not in source.kind:
            raise
        raise ListError(f"list {source.list}: {source.kind} fails ({describe(error)}); mend it") from error
    if not isinstance(listing, Listing):
        raise ListError(
            f"list {source.list}: {source.kind} opens as {type(listing).__name__}; return a Listing"
        )
    return listing


def _plan(
    scratch: Path, report: ReportProgress, dataset: Dataset, root: Root | None, size: DatabaseSize
) -> PlanCounts:
    with read_lists(scratch, report, dataset, size) as (rows, read):
        lanes = plan_shards(rows, dataset.shard_rows, dataset.seed, find_limits(dataset.fetch))
        limits = [pattern for pattern, limit in find_limits(dataset.fetch).entries if limit is not None]
        lists = make_lists(dataset)
        counts = count_lists(rows, lists, [lane for lane, _ in lanes], read)
        asked = count_hosts(rows, limits, list_address_patterns(dataset.fetch))
        counts = counts.model_copy(update={"asked": asked})
        hashed = zip(counts.sources, read, strict=True)
        sources = [of.model_copy(update={"sha256": hash_list(each.files)}) for of, each in hashed]
        counts = counts.model_copy(update={"sources": tuple(sources)})
        if root is not None:
            write_ruled_out(rows, root, dataset.sources)
            sizes = [size for _, shards in lanes for size in shards]
            _remove_leftovers(root, {f"{format_shard(shard)}.parquet" for shard in range(len(sizes))})
            write_candidates(rows, root, lanes, report)
            root.write(MARKER, (counts.model_dump_json(indent=2) + "\n").encode())
    return counts


def write_candidates(  # noqa: PLR0913, PLR0917 - rows and where they go
    rows: DuckDBPyConnection,
    root: Root,
    lanes: Sequence[tuple[LaneCounts, list[int]]],
    report: ReportProgress,
    folder: str = PLAN,
    first: int = 0,
) -> None:
    """Write the candidates of planned shards, and the table of the shards.

    Args:
        rows: the database, after `plan_shards`.
        root: of the dataset.
        lanes: from `plan_shards`.
        report: called with "candidates" and the number of them written.
        folder: of the plan.
        first: number of the first shard.
    """
    sizes = [size for _, shards in lanes for size in shards]
    candidates = replace(_CANDIDATES, schema=extend_schema(CANDIDATE, _find_extras(rows)))
    written = 0
    for shard, table in enumerate(_read_tables(rows, candidates, sizes), first):
        root.write_table(f"candidates/{format_shard(shard)}.parquet", table)
        written += len(table)
        report("candidates", written)
    shards = [{"kind": of.kind, "lane": of.lane, "rows": size} for of, shards in lanes for size in shards]
    numbered = [{"shard": number} | shard for number, shard in enumerate(shards, first)]
    root.write_table(f"{folder}/shards.parquet", pa.Table.from_pylist(numbered, schema=SHARD))


def _find_extras(rows: DuckDBPyConnection) -> list[str]:
    """Return the columns of CANDIDATE_EXTRAS that a row of a list has."""
    counts = ", ".join(f"count({name})" for name in CANDIDATE_EXTRAS.names)
    found = rows.execute(f"SELECT {counts} FROM listed").fetchall()[0]  # noqa: S608 - our own names
    return [name for name, count in zip(CANDIDATE_EXTRAS.names, found, strict=True) if count]


def write_ruled_out(
    rows: DuckDBPyConnection, root: Root, sources: Sequence[Source], folder: str = PLAN
) -> None:
    """Write the rows that never get a key: rejects, and candidates that are filtered by their lists.

    Args:
        rows: the database, after `plan_shards`.
        root: of the dataset.
        sources: of the dataset.
        folder: of the plan.
    """
    rows.execute("CREATE TABLE lists (number BIGINT, list VARCHAR)")
    rows.executemany(
        "INSERT INTO lists VALUES (?, ?)", [(i, source.list) for i, source in enumerate(sources)]
    )
    _write_table(rows, root, f"{folder}/rejects.parquet", _REJECTS)
    _write_table(rows, root, f"{folder}/filtered.parquet", _FILTERED)


def _remove_leftovers(root: Root, expected: Collection[str]) -> None:
    """Remove files from candidates/ that are not of this plan: leftovers of one that was killed."""
    for name in root.list_sizes("candidates"):
        if name not in expected:
            root.remove(f"candidates/{name}")


def _read_tables(rows: DuckDBPyConnection, query: _Query, sizes: Iterable[int]) -> Iterator[pa.Table]:
    """Yield the rows of a query in tables of the given sizes, then the remaining ones."""
    columns = ", ".join(
        f"{query.expressions.get(name, f'listed.{name}')} AS {name}" for name in query.schema.names
    )
    batches = rows.sql(f"SELECT {columns} {query.sql}").to_arrow_reader(_ROW_GROUP_ROWS)
    left = batches.schema.empty_table()
    remaining = iter(sizes)
    size = next(remaining, 0)
    for batch in batches:
        left = pa.concat_tables([left, pa.Table.from_batches([batch])])
        while 0 < size <= len(left):
            # In one chunk, else the bytes of the file would depend on the database's batches.
            yield left.slice(0, size).combine_chunks().cast(query.schema)
            left, size = left.slice(size), next(remaining, 0)
    if len(left):
        yield left.combine_chunks().cast(query.schema)


def _write_table(rows: DuckDBPyConnection, root: Root, name: str, query: _Query) -> None:
    tables = _read_tables(rows, query, repeat(_ROW_GROUP_ROWS))
    with (
        root.write_atomically(name) as path,
        pq.ParquetWriter(path, query.schema, compression="zstd") as writer,
    ):
        for table in tables:
            writer.write_table(table)
