"""Counts the rows of every list, and checks that the names in the dataset's file occur in them."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipelines.errors import ConfigError
from pipelines.source.listing import ListSource
from pipelines.source.row_warnings import list_warnings
from schemas.plan import HostCounts, HostTable, JoinedCounts, LaneCounts, PlanCounts, RowCounts, SourceCounts

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

# VGGSound has 309 labels, WIT 108 languages; a list of another kind may have a new one in every row.
_MOST_FREQUENT = 1000
_LARGEST_HOSTS = 10

_FATES = """
SELECT list_number(listed.seq) AS number, fault, kept.seq IS NULL AS is_duplicate, ruled_out, count(*)
FROM listed LEFT JOIN kept USING (seq) GROUP BY ALL
"""
# The values of a column of one list, with the numbers of candidates and of rows that have them.
_NAMES = """
SELECT {column}, count(kept.seq), count(*) AS rows FROM listed LEFT JOIN kept USING (seq)
WHERE fault IS NULL AND {column} IS NOT NULL AND list_number(listed.seq) = $number
GROUP BY 1 ORDER BY rows DESC, 1 LIMIT $most
"""


_HOSTS = """
CREATE OR REPLACE TEMP VIEW hosts AS SELECT host, count(*) AS rows, count(DISTINCT place) AS urls
FROM hosted WHERE host NOT IN ('/none', '/local', '') GROUP BY host
"""
_LARGEST = """
SELECT host, rows, urls FROM hosts
QUALIFY row_number() OVER (ORDER BY rows DESC, host) <= $most OR list_contains($limited::VARCHAR[], host)
ORDER BY rows DESC, host
"""
_HAS_ADDRESS = """
SELECT 1 FROM listed SEMI JOIN kept USING (seq)
WHERE ruled_out IS NULL AND regexp_matches(media_url, $pattern) LIMIT 1
"""


@dataclass(frozen=True)
class ReadList:
    """What is known of a list that was read.

    Attributes:
        notes: how it was read, as sentences.
        joined: counts of the list whose captions its rows got.
        files: places of its files; none where they have no state that could be compared.
    """

    notes: Sequence[str] = ()
    joined: JoinedCounts | None = None
    files: Sequence[str] = ()


def count_lists(
    database: DuckDBPyConnection,
    sources: Sequence[ListSource],
    lanes: Sequence[LaneCounts],
    read: Sequence[ReadList],
) -> PlanCounts:
    """Return the counts of every list and of all together.

    Raises:
        ConfigError: a source names a label, a split or only languages that no row of its list has.
    """
    fates: dict[int, Counter[tuple[str, str]]] = {number: Counter() for number in range(len(sources))}
    for number, fault, is_duplicate, ruled_out, rows in database.execute(_FATES).fetchall():
        if fault:
            fates[number]["reject", fault] += rows
        elif is_duplicate:
            fates[number]["duplicate", ""] += rows
        else:
            fates[number]["filtered" if ruled_out else "wanted", ruled_out or ""] += rows
    found = tuple(
        _count_source(database, number, sources[number], fates[number], read[number]) for number in fates
    )
    totals = _sum_fates(sum(fates.values(), Counter()))
    return PlanCounts(**totals.model_dump(), sources=found, lanes=tuple(lanes))


def count_hosts(
    database: DuckDBPyConnection, limited: Collection[str], addresses: Mapping[str, str]
) -> HostTable:
    """Return the hosts with the most rows; hosts that share a limit count as one.

    Args:
        database: with `hosted`, from `plan_shards`.
        limited: hosts, and patterns of hosts, that are included however few rows they have.
        addresses: key of `fetch.headers` -> the RE2 of the URLs that it is for.
    """
    values = {"most": _LARGEST_HOSTS, "limited": [*limited]}
    database.execute(_HOSTS)
    largest = database.execute(_LARGEST, values).fetchall()
    hosts, urls = database.execute("SELECT count(*), coalesce(sum(urls), 0)::BIGINT FROM hosts").fetchall()[0]
    return HostTable(
        hosts=hosts,
        urls=urls,
        largest=tuple(HostCounts(host=host, rows=rows, urls=of) for host, rows, of in largest),
        not_named=tuple(
            key
            for key, pattern in addresses.items()
            if not database.execute(_HAS_ADDRESS, {"pattern": pattern}).fetchall()
        ),
    )


def _sum_fates(fates: Mapping[tuple[str, str], int]) -> RowCounts:
    def select(fate: str) -> dict[str, int]:
        return {reason: rows for (name, reason), rows in sorted(fates.items()) if name == fate}

    candidates = sum(select("wanted").values()) + sum(select("filtered").values())
    return RowCounts(
        rows_read=sum(fates.values()),
        rejects=sum(select("reject").values()),
        duplicates=sum(select("duplicate").values()),
        candidates=candidates,
        reject_reasons=select("reject"),
        filtered=select("filtered"),
    )


def _count_source(
    database: DuckDBPyConnection,
    number: int,
    source: ListSource,
    fates: Mapping[tuple[str, str], int],
    read: ReadList,
) -> SourceCounts:
    values = {"number": number, "most": _MOST_FREQUENT}
    columns = {
        column: database.execute(_NAMES.replace("{column}", column), values).fetchall()
        for column in ("language", "label", "split")
    }
    rows_of = {column: {name: rows for name, _, rows in found} for column, found in columns.items()}
    candidates_of = {column: {name: kept for name, kept, _ in found} for column, found in columns.items()}
    labels, languages = (source.names.get(column, ()) for column in ("label", "language"))
    _check_names(source, "label", labels, rows_of["label"])
    _check_names(source, "split", source.names.get("split", ()), rows_of["split"])
    absent = [language for language in languages if language not in rows_of["language"]]
    if len(absent) == len(languages):
        _check_names(source, "language", absent, rows_of["language"])
    counts = _sum_fates(fates)
    warnings = [*source.warnings]
    warnings += [f"{source.list}: no row has the language {language!r}" for language in absent]
    warnings += list_warnings(source, counts, read.joined)
    return SourceCounts(
        **counts.model_dump(),
        kind=source.kind,
        list=source.list,
        languages=candidates_of["language"],
        # If the source names labels, only these: the 309 of VGGSound would hide them.
        labels={name: kept for name, kept in candidates_of["label"].items() if not labels or name in labels},
        warnings=tuple(warnings),
        notes=tuple(read.notes),
        joined=read.joined,
    )


def _check_names(source: ListSource, word: str, names: Sequence[str], rows_of: Mapping[str, int]) -> None:
    for name in names:
        if name not in rows_of:
            near = ", ".join(f"{other!r} ({rows_of[other]:,} rows)" for other in _find_similar(name, rows_of))
            raise ConfigError(
                f"no row of {source.list} has the {word} {name!r}; "
                f"write it as the list does, the nearest are {near}"
            )


def _find_similar(name: str, names: Mapping[str, int]) -> list[str]:
    """Return three names: those that contain `name` first, then by similarity, then by frequency."""

    def distance(other: str) -> tuple[bool, float, int]:
        similarity = difflib.SequenceMatcher(None, name.lower(), other.lower()).ratio()
        return name.lower() not in other.lower(), -similarity, -names[other]

    return sorted(names, key=distance)[:3]
