"""Counts over the rows of a version, shard by shard: outcomes of every source, and languages."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.report.published import Published
from pipelines.shards import Shard, vectors_marker
from pipelines.storage import Root
from schemas.candidate import place_of

_OUTCOME = ["outcome", "reason"]


@dataclass
class Tally:
    """What the rows say.

    Attributes:
        by_source: source -> `status/reason` -> candidates.
        through: kind -> rows whose outcome is ok.
        listed: language as the lists say -> candidates; None where a list does not say.
        detected: language as detected -> candidates; None where detection was not sure.
    """

    by_source: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    through: Counter[str] = field(default_factory=Counter)
    listed: Counter[str | None] = field(default_factory=Counter)
    detected: Counter[str | None] = field(default_factory=Counter)


def tally(published: Published) -> Tally:
    """Return the counts of a version. A few columns of one shard are in memory at a time."""
    root = published.root
    counts = Tally()
    filtered = root.read_table("plan/filtered.parquet", columns=["source", "language", *_OUTCOME])
    _add(counts.by_source, filtered)
    counts.listed += _values(filtered["language"])
    gone = _by_shard(published.tombstones, published.shard_rows)
    for shard in published.shards:
        marker = vectors_marker(published.version.set, shard)
        vectors = root.read_table(marker, columns=["key", "source", *_OUTCOME])
        rows = _candidates(counts, root, shard, vectors)
        failed = vectors.filter(pc.not_equal(vectors["outcome"], "ok"))
        rows = _overlaid(rows, [failed, *([gone[shard.number]] if shard.number in gone else [])])
        _add(counts.by_source, rows)
        counts.through[shard.kind] += pc.sum(pc.equal(rows["outcome"], "ok")).as_py() or 0
    return counts


def _candidates(counts: Tally, root: Root, shard: Shard, vectors: pa.Table) -> pa.Table:
    """Count the languages of a shard's candidates; return what became of their media, or of their texts."""
    if shard.kind == "text":
        counts.listed += _values(
            root.read_table(f"candidates/{shard.name}.parquet", ["language"])["language"]
        )
        return vectors
    wanted = ["key", "source", "language", "language_detected", *_OUTCOME]
    rows = root.read_table(f"media/{shard.name}.parquet", columns=wanted)
    counts.listed += _values(rows["language"])
    counts.detected += _values(rows["language_detected"])
    return rows


def _overlaid(rows: pa.Table, overlays: Iterable[pa.Table]) -> pa.Table:
    """Return source, outcome and reason of the rows; the last overlay that has a row's key decides."""
    columns = {name: rows[name] for name in _OUTCOME}
    for overlay in overlays:
        if overlay.num_rows:
            found = pc.index_in(rows["key"], value_set=overlay["key"].combine_chunks())
            columns = {
                name: pc.coalesce(overlay[name].take(found), values) for name, values in columns.items()
            }
    return pa.table({"source": rows["source"], **columns})


def _add(by_source: defaultdict[str, Counter[str]], rows: pa.Table) -> None:
    groups = rows.group_by(["source", *_OUTCOME]).aggregate([([], "count_all")])
    for row in groups.to_pylist():
        reason = f"{row['outcome']}/{row['reason']}" if row["reason"] else row["outcome"]
        by_source[row["source"]][reason] += row["count_all"]


def _values(column: pa.ChunkedArray) -> Counter[str | None]:
    return Counter({row["values"]: row["counts"] for row in pc.value_counts(column).to_pylist()})


def _by_shard(tombstones: pa.Table, shard_rows: int) -> dict[int, pa.Table]:
    """Return the tombstones of each shard that has any."""
    numbers = np.array([place_of(key.as_py(), shard_rows)[0] for key in tombstones["key"]], dtype=np.int64)
    order = np.argsort(numbers, kind="stable")
    there, starts = np.unique(numbers[order], return_index=True)
    ends = [*starts, len(order)][1:]
    ordered = tombstones.take(pa.array(order))
    return {
        int(number): ordered.slice(start, end - start)
        for number, start, end in zip(there, starts, ends, strict=True)
    }
