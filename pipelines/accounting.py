"""What became of every row: the counts behind `status`, the manifest and the report.

rows_read = candidates + rejects + duplicates
sum(outcomes) + pending = candidates
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.shards import Shard, vectors_marker
from pipelines.storage import Root
from schemas.candidate import shard_name
from schemas.vectors import COLUMNS


@dataclass
class Counts:
    """Counts over the shards that are committed so far."""

    reasons: Counter[str] = field(default_factory=Counter)
    vectors: Counter[str] = field(default_factory=Counter)
    pending: int = 0

    @property
    def outcomes(self) -> Counter[str]:
        """The reasons, summed by outcome."""
        summed: Counter[str] = Counter()
        for reason, count in self.reasons.items():
            summed[reason.split("/")[0]] += count
        return summed


def count(root: Root, set_name: str, shards: Sequence[Shard], tombstones: pa.Table | None) -> Counts:
    """Return the outcome of every candidate, and the vectors of every column.

    A candidate's outcome is that of its media, then of its encoding, then of its tombstone.
    """
    counts = Counts()
    media = {name.removesuffix("_stats.json") for name in root.names("media", "_stats.json")}
    vectors = {name.removesuffix(".parquet") for name in root.names(f"vectors/{set_name}", ".parquet")}
    lost: set[str] = set()
    for shard in shards:
        encoded: Counter[str] = Counter()
        if shard.name in vectors:
            encoded = _count_vectors(root, vectors_marker(set_name, shard), counts.vectors, lost)
        if shard.kind == "text":
            counts.reasons += encoded
            counts.pending += shard.rows - encoded.total()
        elif shard.name in media:
            found = _reasons(root.read_table(f"media/{shard.name}.parquet", columns=["outcome", "reason"]))
            del encoded["ok"]
            found["ok"] -= encoded.total()
            counts.reasons += found + encoded
        else:
            counts.pending += shard.rows
    counts.reasons += _reasons(root.read_table("plan/filtered.parquet", columns=["outcome", "reason"]))
    if tombstones is not None:
        # A row that encoding lost is counted already.
        gone = _reasons(
            tombstones.filter(pc.invert(pc.is_in(tombstones["key"], pa.array(lost, pa.string()))))
        )
        counts.reasons["ok"] -= gone.total()
        counts.reasons += gone
    return counts


def _count_vectors(root: Root, path: str, vectors: Counter[str], lost: set[str]) -> Counter[str]:
    """Add the vectors of a shard and the keys that are not ok, and return its outcomes."""
    with root.parquet(path) as file:
        schema = file.schema_arrow
        table = file.read(columns=["key", "outcome", "reason", *_norms(schema.names)])
    for column in COLUMNS:
        if column in schema.names:
            vectors[column] += table.num_rows - table[f"{column}_norm"].null_count
    lost.update(table.filter(pc.not_equal(table["outcome"], "ok"))["key"].to_pylist())
    return _reasons(table)


def _norms(names: Iterable[str]) -> list[str]:
    return [name for name in names if name.endswith("_norm")]


def _reasons(table: pa.Table) -> Counter[str]:
    if not table.num_rows:
        return Counter()
    joined = pc.binary_join_element_wise(table["outcome"], table["reason"], "/")
    found = pc.value_counts(joined).to_pylist()
    return Counter({row["values"].rstrip("/"): row["counts"] for row in found})


def digest(root: Root, set_names: Sequence[str]) -> str:
    """Return sha256 over the names and bytes of candidates/, media/*.tar, media/*.parquet and vectors/.

    Two roots hold the same dataset if and only if their digests are equal.
    """
    whole = hashlib.sha256()
    names = [f"candidates/{name}" for name in root.names("candidates", ".parquet")]
    names += [f"media/{name}" for name in root.names("media") if name.endswith((".tar", ".parquet"))]
    for set_name in sorted(set_names):
        names += [f"vectors/{set_name}/{name}" for name in root.names(f"vectors/{set_name}")]
    for name in names:
        whole.update(f"{name} {root.sha256(name)}\n".encode())
    return whole.hexdigest()


def shard_files(set_name: str, shard: Shard) -> list[str]:
    """Return every file of a committed shard, below the root."""
    name = shard_name(shard.number)
    media = [f"media/{name}.tar", f"media/{name}.parquet"] if shard.kind != "text" else []
    vectors = [f"vectors/{set_name}/{name}.{suffix}" for suffix in ("parquet", "tar")]
    return [f"candidates/{name}.parquet", *media, *vectors]
