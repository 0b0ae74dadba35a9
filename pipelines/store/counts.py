"""Outcomes of all rows: the counts behind `status`, the manifest and the report.

rows_read = candidates + rejects + duplicates
sum(outcomes) + pending = candidates
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.store.root import Root
from pipelines.store.shards import Shard, get_vectors_marker
from schemas.candidate import format_shard
from schemas.families import Column, is_column
from schemas.outcome import sum_by_status
from schemas.version import SUPERSEDED, TOMBSTONE

_ROW = ("key", "outcome", "reason")


@dataclass
class OutcomeCounts:
    """Counts over the shards that are committed so far."""

    reasons: Counter[str] = field(default_factory=Counter)
    vectors: Counter[str] = field(default_factory=Counter)
    pending: int = 0

    @property
    def outcomes(self) -> Counter[str]:
        """The reasons, summed by outcome."""
        return sum_by_status(self.reasons)


@dataclass(frozen=True)
class Overlay:
    """Corrections of the outcomes in the tables of shards; `build_overlay` makes one.

    Attributes:
        hidden: keys that are not candidates of the version (superseded or unlisted), int64, ascending.
        tombstones: keys of candidates whose outcome differs from that in their table (TOMBSTONE).
        keys: of the tombstones, int64, ascending.
    """

    hidden: np.ndarray
    tombstones: pa.Table
    keys: np.ndarray

    def select_visible_rows(self, rows: pa.Table) -> pa.Table:
        """Return the rows of a shard that are candidates of the version; keys ascend."""
        keys = as_integers(rows["key"])
        hidden = self.hidden[_find_range(self.hidden, keys)]
        return rows.filter(pa.array(~np.isin(keys, hidden), pa.bool_())) if len(hidden) else rows

    def select_tombstones(self, rows: pa.Table) -> pa.Table:
        """Return the tombstones of the rows of a shard; keys ascend."""
        part = _find_range(self.keys, as_integers(rows["key"]))
        return self.tombstones.slice(part.start, part.stop - part.start)


def build_overlay(superseded: pa.Table, unlisted: pa.Table, tombstones: pa.Table) -> Overlay:
    """Combine the overlay tables of a version."""
    hidden = np.union1d(as_integers(superseded["key"]), as_integers(unlisted["key"]))
    keys = as_integers(tombstones["key"])
    order = np.argsort(keys)
    order = order[~np.isin(keys[order], hidden)]
    return Overlay(hidden, tombstones.take(pa.array(order)), keys[order])


def _find_range(ascending: np.ndarray, keys: np.ndarray) -> slice:
    if not len(keys):
        return slice(0, 0)
    return slice(int(np.searchsorted(ascending, keys[0])), int(np.searchsorted(ascending, keys[-1], "right")))


def as_integers(keys: pa.ChunkedArray) -> np.ndarray:
    """Return keys as the integer ids that an index uses, int64 [N]."""
    integers: np.ndarray = pc.cast(keys, pa.int64()).to_numpy()
    return integers


def count(
    root: Root, set_name: str, shards: Sequence[Shard], plan: str = "plan", overlay: Overlay | None = None
) -> OutcomeCounts:
    """Return the outcome of every candidate, and the vectors of every column.

    A candidate's outcome is that of its media, then of its encoding, then of its tombstone.

    Args:
        root: of the dataset.
        set_name: of the vectors.
        shards: of the version.
        plan: folder of the plan whose filtered rows are counted.
        overlay: of the version; none if None.
    """
    counts = OutcomeCounts()
    overlay = overlay or build_overlay(
        SUPERSEDED.empty_table(), TOMBSTONE.empty_table(), TOMBSTONE.empty_table()
    )
    media = {name.removesuffix("_stats.json") for name in root.list_names("media", "_stats.json")}
    vectors = {name.removesuffix(".parquet") for name in root.list_names(f"vectors/{set_name}", ".parquet")}
    for shard in shards:
        overlays, rows = [], None
        if shard.name in vectors:
            encoded = overlay.select_visible_rows(_read_vectors(root, get_vectors_marker(set_name, shard)))
            for column in _find_columns(encoded):
                counts.vectors[column] += encoded.num_rows - encoded[f"{column}_norm"].null_count
            overlays = [encoded]
        if shard.kind == "text":
            rows = overlays.pop() if overlays else None
        elif shard.name in media:
            rows = overlay.select_visible_rows(
                root.read_table(f"media/{shard.name}.parquet", columns=[*_ROW])
            )
        if rows is None:
            counts.pending += shard.rows
        else:
            counts.reasons += count_outcomes(
                apply_overlay(rows, [*overlays, overlay.select_tombstones(rows)])
            )
    filtered = root.read_table(f"{plan}/filtered.parquet", columns=["outcome", "reason"])
    counts.reasons += count_outcomes(filtered)
    return counts


def apply_overlay(rows: pa.Table, overlays: Iterable[pa.Table]) -> pa.Table:
    """Return rows with the outcome and reason of the last overlay that has their key."""
    for overlay in overlays:
        matches = pc.index_in(rows["key"], value_set=overlay["key"].combine_chunks())
        if matches.null_count == rows.num_rows:
            continue
        for name in _ROW[1:]:
            position = rows.column_names.index(name)
            rows = rows.set_column(position, name, pc.coalesce(overlay[name].take(matches), rows[name]))
    return rows


def _read_vectors(root: Root, path: str) -> pa.Table:
    """Return the outcomes of a shard's vectors and the norms of every column."""
    with root.open_parquet(path) as file:
        norms = [name for name in file.schema_arrow.names if name.endswith("_norm")]
        return file.read(columns=[*_ROW, *norms])


def _find_columns(encoded: pa.Table) -> list[Column]:
    names = [name.removesuffix("_norm") for name in encoded.column_names if name.endswith("_norm")]
    return [name for name in names if is_column(name)]


def count_outcomes(table: pa.Table) -> Counter[str]:
    """Count the rows of a table with columns `outcome` and `reason` by `outcome/reason`."""
    if not table.num_rows:
        return Counter()
    joined = pc.binary_join_element_wise(table["outcome"], table["reason"], "/")
    counts = pc.value_counts(joined).to_pylist()
    return Counter({row["values"].rstrip("/"): row["counts"] for row in counts})


def compute_digest(root: Root, set_names: Sequence[str]) -> str:
    """Return sha256 over the names and bytes of candidates/, media/*.tar, media/*.parquet and vectors/.

    Two roots hold the same dataset if and only if their digests are equal.
    """
    digest = hashlib.sha256()
    names = [f"candidates/{name}" for name in root.list_names("candidates", ".parquet")]
    names += [f"media/{name}" for name in root.list_names("media") if name.endswith((".tar", ".parquet"))]
    for set_name in sorted(set_names):
        names += [f"vectors/{set_name}/{name}" for name in root.list_names(f"vectors/{set_name}")]
    for name in names:
        digest.update(f"{name} {root.compute_sha256(name)}\n".encode())
    return digest.hexdigest()


def list_shard_files(set_name: str, shard: Shard, has_windows: bool = False) -> list[str]:
    """Return every file of a committed shard, below the root.

    Args:
        set_name: of the vectors.
        shard: that is committed.
        has_windows: whether the set keeps the windows of sounds.
    """
    name = format_shard(shard.number)
    media = [f"media/{name}.tar", f"media/{name}.parquet"] if shard.kind != "text" else []
    suffixes = ("parquet", "tar", *(("windows.parquet",) if has_windows and shard.kind == "clip" else ()))
    vectors = [f"vectors/{set_name}/{name}.{suffix}" for suffix in suffixes]
    return [f"candidates/{name}.parquet", *media, *vectors]
