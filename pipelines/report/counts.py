"""Counts over the rows of a version, shard by shard: outcomes by source and host, languages, licences."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.report.published import PublishedVersion
from pipelines.store.counts import Overlay, apply_overlay
from pipelines.store.root import Root
from pipelines.store.shards import Shard, get_vectors_marker
from schemas.outcome import format_outcome

_OUTCOME = ["outcome", "reason"]
_HOST = r"^(?i:https?)://(?:[^/?#@]*@)?(?P<host>[^/?#:]+)"


@dataclass
class VersionCounts:
    """What the rows say.

    Attributes:
        by_source: source -> `status/reason` -> candidates.
        through: kind -> rows whose outcome is ok.
        listed: language as the lists say -> candidates; None where a list does not say.
        detected: language as detected -> candidates; None where detection was not sure.
        by_host: host that media were asked of -> status -> candidates.
        licences: as the lists say -> rows whose outcome is ok.
        kept: language as the lists say -> rows whose outcome is ok.
    """

    by_source: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    through: Counter[str] = field(default_factory=Counter)
    listed: Counter[str | None] = field(default_factory=Counter)
    detected: Counter[str | None] = field(default_factory=Counter)
    by_host: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    licences: Counter[str | None] = field(default_factory=Counter)
    kept: Counter[str | None] = field(default_factory=Counter)


def count_version(published: PublishedVersion) -> VersionCounts:
    """Return the counts of a version. A few columns of one shard are in memory at a time."""
    root = published.root
    counts = VersionCounts()
    laid = published.overlay
    filtered = root.read_table(
        f"{published.version.plan}/filtered.parquet", columns=["source", "language", *_OUTCOME]
    )
    _add(counts.by_source, filtered)
    counts.listed += _values(filtered["language"])
    for shard in published.shards:
        marker = get_vectors_marker(published.version.set, shard)
        vectors = root.read_table(marker, columns=["key", "source", *_OUTCOME])
        rows = _candidates(counts, root, shard, vectors, laid)
        rows = apply_overlay(rows, [vectors, laid.select_tombstones(rows)])
        _add(counts.by_source, rows)
        through = rows.filter(pc.equal(rows["outcome"], "ok"))
        counts.through[shard.kind] += through.num_rows
        counts.licences += Counter(through["licence"].to_pylist())
        counts.kept += _values(through["language"])
        if shard.kind != "text":
            _add_hosts(counts.by_host, rows)
    return counts


def _candidates(
    counts: VersionCounts, root: Root, shard: Shard, vectors: pa.Table, laid: Overlay
) -> pa.Table:
    """Count the languages of a shard's candidates; return what became of their media, or of their texts."""
    if shard.kind == "text":
        said = root.read_table(f"candidates/{shard.name}.parquet", ["language", "licence"])
        for name in said.column_names:
            vectors = vectors.append_column(name, said[name])
        rows = laid.select_visible_rows(vectors)
        counts.listed += _values(rows["language"])
        return rows
    wanted = ["key", "source", "media_url", "licence", "language", "language_detected", *_OUTCOME]
    rows = laid.select_visible_rows(root.read_table(f"media/{shard.name}.parquet", columns=wanted))
    counts.listed += _values(rows["language"])
    counts.detected += _values(rows["language_detected"])
    return rows


def _add(by_source: defaultdict[str, Counter[str]], rows: pa.Table) -> None:
    groups = rows.group_by(["source", *_OUTCOME]).aggregate([([], "count_all")])
    for row in groups.to_pylist():
        by_source[row["source"]][format_outcome(row["outcome"], row["reason"])] += row["count_all"]


def _add_hosts(by_host: defaultdict[str, Counter[str]], rows: pa.Table) -> None:
    hosts = pc.utf8_lower(pc.struct_field(pc.extract_regex(rows["media_url"], _HOST), "host"))
    groups = rows.append_column("host", hosts).group_by(["host", "outcome"]).aggregate([([], "count_all")])
    for row in groups.to_pylist():
        if row["host"]:
            by_host[row["host"]][row["outcome"]] += row["count_all"]


def _values(column: pa.ChunkedArray) -> Counter[str | None]:
    return Counter({row["values"]: row["counts"] for row in pc.value_counts(column).to_pylist()})
