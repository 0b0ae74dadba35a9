"""Captions of another list put onto the rows of one: recaptioned lists are handed around so.

The other list is read once, into a table of DuckDB, so neither has to fit into memory.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pipelines.errors import ListError
from pipelines.source.listing import CaptionJoin
from schemas.plan import JoinedCounts, describe_most
from schemas.sources import Source

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

# Of a key or URL, the first caption in the order of the list. In the same pass every reject is a group of its
# own, and all rows without a caption are one: their partner is null, which no row joins.
_ADD_PARTNERS = """
CREATE OR REPLACE TABLE captions_of AS
SELECT partner, arg_min(caption, row) AS caption, count(*) AS times, min(row) AS row,
    any_value(fault) AS fault, any_value(line) AS line, any_value(shown) AS text
FROM (SELECT row, bad AS fault, line, CASE WHEN bad IS NOT NULL THEN left(text, 1000) END AS shown,
        CASE WHEN bad IS NULL AND words <> '' THEN address END AS partner, words AS caption
    FROM (SELECT row, line, text, tidy(partner) AS address, coalesce(tidy(caption), '') AS words,
            coalesce(fault, CASE WHEN coalesce(address, '') = '' THEN 'key' END) AS bad FROM ({sql})))
GROUP BY partner, CASE WHEN fault IS NOT NULL THEN row END
"""
_COUNT_PARTNERS = """
SELECT fault, count(partner), sum(times)::BIGINT FROM captions_of GROUP BY fault, partner IS NULL ORDER BY ALL
"""
_KEEP_REJECTS = """
INSERT INTO partner_rejects SELECT $number, $source, $list, row, line, fault, coalesce(text, '')
FROM captions_of WHERE fault IS NOT NULL
"""
# A row keeps its own caption if the other list has none for it.
_ROWS = """(
    SELECT own.* REPLACE (coalesce(captions_of.caption, own.caption) AS caption),
        captions_of.partner IS NOT NULL AS joined
    FROM ({sql} UNION ALL BY NAME FROM blank) AS own
    LEFT JOIN captions_of ON captions_of.partner = tidy(own.{on})
)"""
_COUNT_JOINED = """
SELECT count(*), count(*) FILTER (joined) FROM listed WHERE list_number(seq) = $number AND fault IS NULL
"""
_EXAMPLES = """
SELECT (SELECT {on} FROM listed WHERE list_number(seq) = $number AND fault IS NULL ORDER BY seq LIMIT 1),
    (SELECT min(partner) FROM captions_of)
"""
_SHOWN_CHARS = 80


def add_partners(
    database: DuckDBPyConnection,
    number: int,
    source: Source,
    join: CaptionJoin,
    execute: Callable[[CaptionJoin, str], None],
) -> JoinedCounts:
    """Read the other list into a table of the database, and its rejects into `partner_rejects`.

    Args:
        database: of all lists.
        number: of the list whose rows get the captions.
        source: of that list.
        join: the other list.
        execute: executes SQL over the batches of the other list.

    Raises:
        ListError: it cannot be read, or has no caption.
    """
    execute(join, _ADD_PARTNERS.replace("{sql}", join.sql))
    captions, rows, without, faults = 0, 0, 0, dict[str, int]()
    for fault, keys, times in database.execute(_COUNT_PARTNERS).fetchall():
        if fault is not None:
            faults[fault] = times
        elif keys:
            captions, rows = keys, times
        else:
            without = times
    if not captions:
        damage = f"; of its rows {describe_most(faults)}" if faults else ""
        raise ListError(
            f"list {join.place} has no row with a key and a caption to join{damage}; name its columns, or "
            "give the whole list"
        )
    values = {"number": number, "source": source.kind, "list": join.place}
    database.execute(_KEEP_REJECTS, values)
    return JoinedCounts(
        list=join.place,
        rows_read=rows + without + sum(faults.values()),
        captions=captions,
        repeated=rows - captions,
        no_caption=without,
        rejects=sum(faults.values()),
        reject_reasons=faults,
    )


def make_rows_sql(join: CaptionJoin) -> str:
    """Return the SQL of the rows of a list, `{sql}`, with the captions of the other."""
    return _ROWS.replace("{on}", join.on)


def count_partners(
    database: DuckDBPyConnection, number: int, place: str, join: CaptionJoin, partners: JoinedCounts
) -> str:
    """Return how many rows have got a caption, as a sentence.

    Args:
        database: of all lists.
        number: of the list.
        place: of the list.
        join: the other list.
        partners: of it.

    Raises:
        ListError: no row has got one.
    """
    ((rows, joined),) = database.execute(_COUNT_JOINED, {"number": number}).fetchall()
    if not joined:
        ((own, other),) = database.execute(_EXAMPLES.replace("{on}", join.on), {"number": number}).fetchall()
        raise ListError(
            f"no row of list {place} has a partner in {join.place}: the one has {str(own)[:_SHOWN_CHARS]!r} "
            f"and the other {str(other)[:_SHOWN_CHARS]!r}; name another `on`, or the list of these rows"
        )
    repeated = f", of {partners.repeated:,} repeated keys the first" if partners.repeated else ""
    return (
        f"list {place}: {joined:,} rows have the caption of {join.place}{repeated}; {rows - joined:,} have "
        "no partner there and keep their own, or none"
    )
