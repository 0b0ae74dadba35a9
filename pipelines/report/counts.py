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
    """Counts over the rows of a version.

    Attributes:
        by_source: source -> `status/reason` -> candidates.
        ok_by_kind: kind -> rows whose outcome is ok.
        listed_languages: language in the lists -> candidates; None where a list has none.
        detected_languages: detected language -> candidates; None where detection was not sure.
        by_host: host that media were fetched from -> status -> candidates.
        licences: licence in the lists -> rows whose outcome is ok.
        ok_languages: language in the lists -> rows whose outcome is ok.
    """

    by_source: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    ok_by_kind: Counter[str] = field(default_factory=Counter)
    listed_languages: Counter[str | None] = field(default_factory=Counter)
    detected_languages: Counter[str | None] = field(default_factory=Counter)
    by_host: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    licences: Counter[str | None] = field(default_factory=Counter)
    ok_languages: Counter[str | None] = field(default_factory=Counter)


def count_version(published: PublishedVersion) -> VersionCounts:
    """Return the counts of a version. A few columns of one shard are in memory at a time."""
    root = published.root
    counts = VersionCounts()
    overlay = published.overlay
    filtered = root.read_table(
        f"{published.version.plan}/filtered.parquet", columns=["source", "language", *_OUTCOME]
    )
    _add_outcomes(counts.by_source, filtered)
    counts.listed_languages += _count_values(filtered["language"])
    for shard in published.shards:
        marker = get_vectors_marker(published.version.set, shard)
        vectors = root.read_table(marker, columns=["key", "source", *_OUTCOME])
        rows = _read_rows(counts, root, shard, vectors, overlay)
        rows = apply_overlay(rows, [vectors, overlay.select_tombstones(rows)])
        _add_outcomes(counts.by_source, rows)
        ok = rows.filter(pc.equal(rows["outcome"], "ok"))
        counts.ok_by_kind[shard.kind] += ok.num_rows
        counts.licences += Counter(ok["licence"].to_pylist())
        counts.ok_languages += _count_values(ok["language"])
        if shard.kind != "text":
            _add_hosts(counts.by_host, rows)
    return counts


def _read_rows(
    counts: VersionCounts, root: Root, shard: Shard, vectors: pa.Table, overlay: Overlay
) -> pa.Table:
    """Count the languages of a shard's candidates; return its rows, with the outcomes of media or texts."""
    if shard.kind == "text":
        candidates = root.read_table(f"candidates/{shard.name}.parquet", ["language", "licence"])
        for name in candidates.column_names:
            vectors = vectors.append_column(name, candidates[name])
        rows = overlay.select_visible_rows(vectors)
        counts.listed_languages += _count_values(rows["language"])
        return rows
    columns = ["key", "source", "media_url", "licence", "language", "language_detected", *_OUTCOME]
    rows = overlay.select_visible_rows(root.read_table(f"media/{shard.name}.parquet", columns=columns))
    counts.listed_languages += _count_values(rows["language"])
    counts.detected_languages += _count_values(rows["language_detected"])
    return rows


def _add_outcomes(by_source: defaultdict[str, Counter[str]], rows: pa.Table) -> None:
    groups = rows.group_by(["source", *_OUTCOME]).aggregate([([], "count_all")])
    for row in groups.to_pylist():
        by_source[row["source"]][format_outcome(row["outcome"], row["reason"])] += row["count_all"]


def _add_hosts(by_host: defaultdict[str, Counter[str]], rows: pa.Table) -> None:
    hosts = pc.utf8_lower(pc.struct_field(pc.extract_regex(rows["media_url"], _HOST), "host"))
    groups = rows.append_column("host", hosts).group_by(["host", "outcome"]).aggregate([([], "count_all")])
    for row in groups.to_pylist():
        if row["host"]:
            by_host[row["host"]][row["outcome"]] += row["count_all"]


def _count_values(column: pa.ChunkedArray) -> Counter[str | None]:
    return Counter({row["values"]: row["counts"] for row in pc.value_counts(column).to_pylist()})
