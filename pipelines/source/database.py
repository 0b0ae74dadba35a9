"""The rows of all lists in one DuckDB file, out of core: what does not fit into memory is on disk.

| table  | a row is                                                                           |
|--------|------------------------------------------------------------------------------------|
| listed | a row of a list: a reject if it has a `fault`, else CANDIDATE's columns but `lane` |
| kept   | the `seq` of a candidate: of every row that is no reject and no duplicate          |

`partner_rejects` are rows that cannot be read of a list whose captions another one gets.

`seq` is the position of a row among the rows of all lists. Nothing depends on the order of threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from pipelines.compute import cpu
from pipelines.errors import ConfigError, EcholensError, ListError, StopJob
from pipelines.source import join_captions
from pipelines.source.listing import ROW, CaptionJoin, Listing
from pipelines.store.classes import describe
from schemas.dataset import Filter
from schemas.plan import JoinedCounts
from schemas.sources import Source

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

# A row with more is a reject: it is an article, or made to fill memory.
MAX_CAPTION_CHARS = 32_768
# Signed URLs of object stores have about 2,000; servers refuse more than 8,000.
MAX_URL_CHARS = 8192

_TYPES = {pa.int64(): "BIGINT", pa.string(): "VARCHAR", pa.float64(): "DOUBLE"}
_BLANK = ", ".join(f"{column.name} {_TYPES[column.type]}" for column in ROW)

_SETUP = rf"""
CREATE TABLE blank ({_BLANK});
CREATE MACRO seq_of(list_number, row) AS (list_number::BIGINT << 40) + row;
CREATE MACRO list_number(seq) AS seq >> 40;
CREATE TABLE listed (
    seq BIGINT, line BIGINT, fault VARCHAR, text VARCHAR, ruled_out VARCHAR, same UHUGEINT,
    id VARCHAR, source VARCHAR, source_row BIGINT, kind VARCHAR, media_url VARCHAR, start_s DOUBLE,
    length_s DOUBLE, language VARCHAR, label VARCHAR, split VARCHAR, page_url VARCHAR,
    attribution VARCHAR, licence VARCHAR, source_key VARCHAR, caption VARCHAR, url VARCHAR,
    expected_hash VARCHAR, kept VARCHAR, joined BOOLEAN);
CREATE TABLE partner_rejects (
    number BIGINT, source VARCHAR, list VARCHAR, row BIGINT, line BIGINT, fault VARCHAR, text VARCHAR);

-- Fields with their quotes. A field is quoted if the quotes close before its end.
CREATE MACRO tab_fields(line) AS CASE WHEN contains(line, '"')
    THEN regexp_extract_all(line || chr(9), '("(?:[^"]|"")*"|[^\t]*)\t', 1)
    ELSE string_split(line, chr(9)) END;
CREATE MACRO comma_fields(line) AS CASE WHEN contains(line, '"')
    THEN regexp_extract_all(line || ',', '("(?:[^"]|"")*"|[^,]*),', 1)
    ELSE string_split(line, ',') END;
CREATE MACRO unpaired(fields) AS len(list_filter(fields,
    lambda field: field[1] = '"' AND (length(field) = 1 OR field[-1] <> '"'))) > 0;
CREATE MACRO bare(field) AS CASE WHEN field[1] = '"' AND field[-1] = '"' AND length(field) > 1
    THEN replace(field[2:-2], '""', '"') ELSE field END;

CREATE MACRO tidy(value) AS trim(regexp_replace(value, '[\t\n\v\f\r]+', ' ', 'g'));
-- Null unless it is a plain number of seconds.
CREATE MACRO seconds(value) AS CASE WHEN regexp_full_match(trim(value), '\d{{1,8}}(?:\.\d*)?')
    THEN CAST(trim(value) AS DOUBLE) END;
CREATE MACRO watch_url(id) AS CASE WHEN trim(id) = '' THEN ''
    ELSE 'https://www.youtube.com/watch?v=' || trim(id) END;
CREATE MACRO start_ms(start_s) AS coalesce(CAST(floor(start_s * 1000 + 0.5) AS BIGINT)::VARCHAR, '');
"""

_ADD = r"""
INSERT INTO listed BY NAME
SELECT
    seq_of($number, row) AS seq,
    line, bad AS fault, CASE WHEN bad IS NOT NULL THEN left(text, 1000) END AS text,
    $source AS source, coalesce(source_row, row) AS source_row,
    coalesce(ruled_out, CASE WHEN words = '' THEN 'no_caption'
        WHEN $take <> 'media' OR kind <> 'image' THEN NULL
        WHEN width < $min_side_px OR height < $min_side_px THEN 'too_small'
        WHEN greatest(width, height) > $max_aspect * least(width, height) THEN 'too_stretched'
        END) AS ruled_out,
    md5_number(concat_ws(chr(0), address, start_ms(start_s), words)) AS same,
    left(sha256(concat_ws(chr(0), $source, address, start_ms(start_s), words)), 32) AS id,
    CASE WHEN $take = 'text' THEN 'text' ELSE kind END AS kind,
    CASE WHEN $take = 'media' THEN coalesce(nullif(trim(media_url), ''), address) END AS media_url,
    start_s, length_s, language, label, split, page_url, attribution,
    coalesce(nullif(tidy(licence), ''), 'unknown') AS licence, source_key, coalesce(words, '') AS caption,
    address AS url, expected_hash, kept, joined
FROM (
    SELECT *, tidy(url) AS address, tidy(caption) AS words,
        coalesce(fault, CASE WHEN address = '' THEN 'no_url'
            WHEN contains(address, chr(0)) OR contains(words, chr(0)) THEN 'nul'
            WHEN words <> '' AND NOT regexp_matches(words, '[\pL\pN\pS]') THEN 'no_caption'
            WHEN greatest(length(address), length(media_url), length(page_url)) > {max_url_chars}
                THEN 'long_url'
            WHEN length(words) > {max_caption_chars} THEN 'long_caption'
            WHEN greatest(length(attribution), 8 * length(label), 100 * length(language),
                100 * length(split), 100 * length(source_key), length(kept)) > {max_caption_chars}
                THEN 'long_field' END) AS bad
    FROM {rows}
)
"""
_ROWS = "(SELECT *, NULL::BOOLEAN AS joined FROM ({sql} UNION ALL BY NAME FROM blank))"

# Of equal rows the first is kept, but one that its list does not filter comes before one that it does, so
# that an unwanted row never hides a wanted one.
_KEEP = """
CREATE TABLE kept AS
SELECT min(seq + CASE WHEN ruled_out IS NULL THEN 0 ELSE 1::BIGINT << 62 END) & ((1::BIGINT << 62) - 1) AS seq
FROM listed WHERE fault IS NULL GROUP BY same
"""


@dataclass(frozen=True)
class DatabaseSize:
    """Limits of the database.

    Attributes:
        memory: of its buffers; what does not fit is written to the scratch folder.
        threads: at most. DuckDB needs some 125 MB for each to sort out of core.
    """

    memory: str = "1GiB"
    threads: int = 4


DEFAULT_SIZE = DatabaseSize()


def connect(scratch: Path, size: DatabaseSize) -> DuckDBPyConnection:
    """Return a new database in a scratch folder, which needs room for the rows of all lists."""
    import duckdb

    settings: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": size.memory,
        "temp_directory": str(scratch / "spill"),
        "threads": min(size.threads, cpu.count_cpus()),
        # Every query that needs an order has ORDER BY; preserving another costs memory.
        "preserve_insertion_order": False,
    }
    database = duckdb.connect(scratch / "rows.duckdb", config=settings)
    # DuckDB's progress bar would be drawn over ours.
    database.execute("SET enable_progress_bar = false")
    database.execute(_SETUP)
    return database


@contextmanager
def as_disk_errors(scratch: Path) -> Iterator[None]:
    """Turn DuckDB's errors of a full disk or memory into one sentence.

    Raises:
        StopJob: the scratch folder or the memory is full.
    """
    import duckdb

    try:
        yield
    except (duckdb.OutOfMemoryException, duckdb.IOException) as error:
        raise StopJob(
            f"the lists do not fit into {scratch.parent} ({str(error).splitlines()[0]}); "
            "make room there, or set TMPDIR to a larger disk"
        ) from error


def add_list(  # noqa: PLR0913, PLR0917 - a list, and what is done with it
    database: DuckDBPyConnection,
    number: int,
    source: Source,
    listing: Listing,
    filters: Filter,
    report: Callable[[str, int], None],
) -> tuple[list[str], JoinedCounts | None]:
    """Read a list into `listed`; return what a user should know of it, and the counts of a joined list.

    Args:
        database: from `connect`.
        number: of the list, in the order of the dataset's file.
        source: from the dataset's file.
        listing: the opened list.
        filters: of the dataset; pictures that are too small by what their list says are not fetched.
        report: called after every batch with the list and the number of its rows read.

    Raises:
        ListError: the list cannot be read to its end, has no rows, or none that the joined list has.
        ConfigError: its `where` compares what cannot be compared.
    """
    rows = _ROWS
    if listing.join is not None:
        partners = join_captions.add_partners(
            database,
            number,
            source,
            listing.join,
            lambda join, sql: _execute(
                database, "partners", source, join.place, join, sql, join.values, report
            ),
        )
        rows = join_captions.make_rows_sql(listing.join)
    values = {
        "number": number,
        "source": source.kind,
        "take": source.take,
        "min_side_px": filters.min_side_px,
        "max_aspect": filters.max_aspect,
        **listing.values,
    }
    sql = _ADD.replace("{rows}", rows).replace("{sql}", listing.sql)
    sql = sql.replace("{max_url_chars}", str(MAX_URL_CHARS))
    sql = sql.replace("{max_caption_chars}", str(MAX_CAPTION_CHARS))
    _execute(database, "records", source, source.list, listing, sql, values, report)
    if listing.join is None:
        return [], None
    return [join_captions.count_partners(database, number, source.list, listing.join, partners)], partners


def _execute(  # noqa: PLR0913, PLR0917 - a list, what reads it, and what is done with it
    database: DuckDBPyConnection,
    name: str,
    source: Source,
    place: str,
    listing: Listing | CaptionJoin,
    sql: str,
    values: Mapping[str, Any],
    report: Callable[[str, int], None],
) -> None:
    """Execute SQL over the batches of a list, which it knows by a name."""
    import duckdb

    # DuckDB would replace the message of an error.
    errors: list[EcholensError] = []
    batches = _read_batches(source, place, listing, report, errors)
    database.register(name, pa.RecordBatchReader.from_batches(listing.schema, batches))
    try:
        database.execute(sql, values)
    except duckdb.Error as error:
        if errors:
            raise errors[0] from None
        is_full = isinstance(error, duckdb.OutOfMemoryException | duckdb.IOException)
        if (condition := getattr(source, "where", None)) and not is_full:
            raise ConfigError(
                f"list {place}: its rows cannot be filtered by `where` ({str(error).splitlines()[0]}); mend "
                f"{condition[:120]!r}"
            ) from error
        raise
    finally:
        database.unregister(name)


def _read_batches(
    source: Source,
    place: str,
    listing: Listing | CaptionJoin,
    report: Callable[[str, int], None],
    errors: list[EcholensError],
) -> Iterator[pa.RecordBatch]:
    """Yield the batches of a list; an error is appended to `errors` before it is raised."""
    rows = 0
    try:
        for batch in listing.read_batches():
            rows += len(batch)
            report(place, rows)
            yield batch
    except EcholensError as error:
        errors.append(error)
        raise
    except Exception as error:
        if ":" in source.kind:
            what = f"list {place} cannot be read by {source.kind} ({describe(error)}); mend it"
            errors.append(ListError(what))
        raise
    if not rows:
        errors.append(ListError(f"list {place} has no rows; give the whole list"))
        raise errors[0]


def drop_duplicates(database: DuckDBPyConnection) -> None:
    """Choose one of equal rows, over all lists, as the candidate: create `kept`."""
    database.execute(_KEEP)
