"""Publish the next version of a dataset: find duplicates, update the indices, count the outcomes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.compute.child_process import run_in_subprocess
from pipelines.errors import NoMediaError, StorageError
from pipelines.filter.duplicates import find_duplicate_media
from pipelines.index.extend import extend_index
from pipelines.store import plans
from pipelines.store.counts import OutcomeCounts, as_integers, build_overlay, count
from pipelines.store.dataset_file import read_spaces
from pipelines.store.manifest import ManifestBuilder, make_entry
from pipelines.store.root import Root
from pipelines.store.shards import Shard
from pipelines.store.versions import find_current, find_unchanged, list_numbers, read_shards
from schemas.dataset import Dataset
from schemas.families import get_modality, sort_columns
from schemas.version import TOMBSTONE, FileEntry, Version


def publish(
    root: Root, dataset: Dataset, rewritten: Collection[int] = (), from_scratch: bool = False
) -> Version:
    """Find duplicates, update the indices, and create the next version from all planned shards.

    Args:
        root: of the dataset.
        dataset: its configuration.
        rewritten: shards whose files may differ from the entries of the version before.
        from_scratch: whether nothing is taken over from the version before, since its tables or indices are
            damaged.

    Raises:
        NoMediaError: not one picture or clip arrived.
        StorageError: a shard is not committed, or another job has published meanwhile.
    """
    shards, set_name = plans.list_shards(root), dataset.encode.set
    current = find_current(root, set_name)
    # The newest version may be of another set: its candidates and media are the same.
    numbers = [*list_numbers(root)[-1:], *([current.number] if current else [])]
    number = max(numbers, default=0) + 1
    # An index of shards that were purged still has their vectors.
    from_scratch = from_scratch or (current is not None and _has_dropped_shards(root, current))
    previous = None if from_scratch else current
    overlays = _read_overlays(root, shards)
    counts = _count_outcomes(root, dataset, shards, overlays)
    tables = {
        "": ManifestBuilder(root, set_name, [] if from_scratch else numbers, rewritten).build_table(shards),
        ".tombstones": overlays.tombstones,
        ".superseded": overlays.superseded,
        ".missing": overlays.missing,
    }
    for name, table in tables.items():
        root.write_table(f"versions/{number:04d}{name}.parquet", table)
    version = Version(
        **_make_counts(root, counts, overlays),
        number=number,
        name=dataset.name,
        set=set_name,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        shards=len(shards),
        tables=[make_entry(root, f"versions/{number:04d}{name}.parquet") for name in tables],
        indices=_update_indices(root, dataset, shards, counts, number, overlays, previous),
    )
    return _create_manifest(root, version)


def publish_in_subprocess(root: Root, dataset: Dataset) -> Version:
    """Publish as `publish` does in another process, whose memory is given back."""
    return run_in_subprocess(publish, root, dataset)


def _create_manifest(root: Root, version: Version) -> Version:
    data = (version.model_dump_json(indent=2) + "\n").encode()
    if not root.create(f"versions/{version.number:04d}.json", data):
        # Another job has published first. If it published the same shards, its version will do.
        if published := find_unchanged(root, version.set):
            return published
        raise StorageError(
            f"version {version.number} of {root.url} was published by another job; run this one again"
        )
    return version


def _has_dropped_shards(root: Root, version: Version) -> bool:
    return not plans.read_dropped(root).isdisjoint(shard.number for shard in read_shards(root, version))


@dataclass(frozen=True)
class _Overlays:
    """The tables of a version that override the outcomes in its shards."""

    superseded: pa.Table
    unlisted: pa.Table
    missing: pa.Table
    tombstones: pa.Table

    @property
    def keys(self) -> pa.Table:
        """The keys that no search may find."""
        return pa.concat_tables([self.tombstones.select(["key"]), self.superseded.select(["key"])])


def _read_overlays(root: Root, shards: Sequence[Shard]) -> _Overlays:
    superseded = plans.read_superseded(root)
    return _Overlays(
        superseded,
        plans.read_unlisted(root),
        plans.read_missing(root),
        _make_tombstones(root, shards, superseded),
    )


def _count_outcomes(
    root: Root, dataset: Dataset, shards: Sequence[Shard], overlays: _Overlays
) -> OutcomeCounts:
    """Return the outcomes of all candidates, once it is sure that the version may be published."""
    overlay = build_overlay(overlays.superseded, overlays.unlisted, overlays.tombstones)
    counts = count(root, dataset.encode.set, shards, plans.list_folders(root)[-1], overlay)
    if counts.pending:
        raise StorageError(f"{root.url} has {counts.pending} rows that are not through; run the build again")
    if any(get_modality(column) != "text" for column in read_spaces(root, dataset.encode.set)):
        _check_arrived(root, counts, shards)
    return counts


def _make_counts(root: Root, counts: OutcomeCounts, overlays: _Overlays) -> dict[str, Any]:
    """Return the counts of a manifest."""
    plan = plans.list_folders(root)[-1]
    listed = plans.read_counts(root, plan)
    return {
        "plan": plan,
        **listed.model_dump(include={"rows_read", "rejects", "duplicates", "candidates"}),
        "unlisted": overlays.unlisted.num_rows,
        "superseded": overlays.superseded.num_rows,
        "tombstones": overlays.tombstones.num_rows,
        "missing": overlays.missing.num_rows,
        "outcomes": dict(counts.outcomes),
        "reasons": dict(+counts.reasons),
        "vectors": dict(counts.vectors),
    }


def _make_tombstones(root: Root, shards: Sequence[Shard], superseded: pa.Table) -> pa.Table:
    """Return the tombstones of the next version: unlisted rows, dead links, duplicates of other rows."""
    unlisted, dead = plans.read_unlisted(root), plans.read_dead(root)
    hidden = np.union1d(as_integers(superseded["key"]), as_integers(unlisted["key"]))
    dead = dead.filter(pa.array(~np.isin(as_integers(dead["key"]), hidden), pa.bool_()))
    gone = np.union1d(hidden, as_integers(dead["key"]))
    duplicates = find_duplicate_media(root, [shard.number for shard in shards if shard.kind != "text"], gone)
    count_unlisted = unlisted.num_rows
    tables = [
        pa.table(
            [
                unlisted["key"],
                ["filtered"] * count_unlisted,
                ["unlisted"] * count_unlisted,
                pa.nulls(count_unlisted, pa.string()),
            ],
            schema=TOMBSTONE,
        ),
        pa.table(
            [dead["key"], dead["outcome"], dead["reason"], pa.nulls(dead.num_rows, pa.string())],
            schema=TOMBSTONE,
        ),
        duplicates,
    ]
    tombstones = pa.concat_tables(tables).combine_chunks()
    return tombstones.take(pc.sort_indices(pc.cast(tombstones["key"], pa.int64())))


def _update_indices(  # noqa: PLR0913, PLR0917
    root: Root,
    dataset: Dataset,
    shards: Sequence[Shard],
    counts: OutcomeCounts,
    number: int,
    overlays: _Overlays,
    previous: Version | None,
) -> list[FileEntry]:
    """Update the index of every column, and return the entries of its files."""
    set_name = dataset.encode.set
    known = {file.path: file for file in previous.indices} if previous else {}
    entries: list[FileEntry] = []
    for column in sort_columns(counts.vectors):
        if not counts.vectors[column]:
            continue
        old = [path.removesuffix(".json") for path in known if path.endswith(f"/{column}.json")]
        path = extend_index(
            root, set_name, column, shards, overlays.keys, dataset.index, number, old[0] if old else None
        )
        if path:
            entries += [
                known.get(file) or make_entry(root, file) for file in (f"{path}.faiss", f"{path}.json")
            ]
    return entries


def _check_arrived(root: Root, counts: OutcomeCounts, shards: Sequence[Shard]) -> None:
    """Refuse a dataset of which no media arrived if most were out of reach, which is no fault of the rows."""
    requested = sum(shard.rows for shard in shards if shard.kind != "text")
    arrived = sum(vectors for column, vectors in counts.vectors.items() if get_modality(column) != "text")
    reasons = counts.reasons["blocked/private_address"] + counts.reasons["failed/proxy"]
    unreachable = counts.outcomes["transient"] + reasons
    if not arrived and 2 * unreachable > requested:
        raise NoMediaError(
            f"none of {requested} pictures and clips arrived in {root.url} and {unreachable} were out of "
            "reach, so nothing was published; mend the network, or see fetch.allow_private_hosts, then run "
            "`echolens refresh` on its file"
        )
