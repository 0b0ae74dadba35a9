"""Creates the next version of a dataset: duplicates found, indices brought up to date, counts written."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.errors import NoMediaError, StorageError
from pipelines.filter.duplicates import find_duplicate_media
from pipelines.index.extend import extend_index
from pipelines.store import plans
from pipelines.store.counts import OutcomeCounts, as_integers, build_overlay, count
from pipelines.store.manifest import Manifest, make_entry
from pipelines.store.root import Root
from pipelines.store.shards import Shard
from pipelines.store.versions import find_current, find_unchanged, list_numbers, read_shards
from schemas.dataset import Dataset
from schemas.vectors import COLUMNS
from schemas.version import TOMBSTONE, FileEntry, Version


def publish(root: Root, dataset: Dataset, again: Collection[int] = (), torn: bool = False) -> Version:
    """Find duplicates, bring the indices up to date, and create the next version from all that is planned.

    Args:
        root: where.
        dataset: which.
        again: shards whose files are not what the version before says they are.
        torn: whether tables or indices of the version before are damaged: then nothing is taken over from it.

    Raises:
        NothingArrived: not one picture or clip came.
        StorageError: a shard is not committed, or another job published meanwhile.
    """
    planned, set_name = plans.list_shards(root), dataset.encode.set
    before = find_current(root, set_name)
    # The newest version may be of another set: its candidates and media are the same.
    there = [*list_numbers(root)[-1:], *([before.number] if before else [])]
    number = max(there, default=0) + 1
    if before and not torn:
        # An index of shards that were purged has their vectors in it.
        torn = not plans.read_dropped(root).isdisjoint(shard.number for shard in read_shards(root, before))
    hiding = _hiding(root, planned)
    counts = _counted(root, dataset, planned, hiding)
    tables = {
        "": Manifest(root, set_name, [] if torn else there, again).build_table(planned),
        ".tombstones": hiding.tombstones,
        ".superseded": hiding.superseded,
        ".missing": hiding.missing,
    }
    for name, table in tables.items():
        root.write_table(f"versions/{number:04d}{name}.parquet", table)
    version = Version(
        **_said(root, counts, hiding),
        number=number,
        name=dataset.name,
        set=set_name,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        shards=len(planned),
        tables=[make_entry(root, f"versions/{number:04d}{name}.parquet") for name in tables],
        indices=_indices(root, dataset, planned, counts, number, hiding, None if torn else before),
    )
    data = (version.model_dump_json(indent=2) + "\n").encode()
    if not root.create(f"versions/{number:04d}.json", data):
        # Another job was quicker. If it published the same shards, that is what was asked for.
        if quicker := find_unchanged(root, set_name):
            return quicker
        raise StorageError(f"version {number} of {root.url} was published by another job; run this one again")
    return version


@dataclass(frozen=True)
class _Hiding:
    """The tables of a version that lie over its shards."""

    superseded: pa.Table
    unlisted: pa.Table
    missing: pa.Table
    tombstones: pa.Table

    @property
    def keys(self) -> pa.Table:
        """All keys that no search may find."""
        return pa.concat_tables([self.tombstones.select(["key"]), self.superseded.select(["key"])])


def _hiding(root: Root, planned: Sequence[Shard]) -> _Hiding:
    tried_again = plans.read_superseded(root)
    return _Hiding(
        tried_again,
        plans.read_unlisted(root),
        plans.read_missing(root),
        _tombstones(root, planned, tried_again),
    )


def _counted(root: Root, dataset: Dataset, planned: Sequence[Shard], hiding: _Hiding) -> OutcomeCounts:
    """Return what became of every candidate, once it is sure that it is worth publishing."""
    laid = build_overlay(hiding.superseded, hiding.unlisted, hiding.tombstones)
    counts = count(root, dataset.encode.set, planned, plans.list_folders(root)[-1], laid)
    if counts.pending:
        raise StorageError(f"{root.url} has {counts.pending} rows that are not through; run the build again")
    if dataset.encode.clip is not None:
        _check_arrived(root, counts, planned)
    return counts


def _said(root: Root, counts: OutcomeCounts, hiding: _Hiding) -> dict[str, Any]:
    """Return the numbers of a manifest."""
    plan = plans.list_folders(root)[-1]
    listed = plans.read_counts(root, plan)
    return {
        "plan": plan,
        **listed.model_dump(include={"rows_read", "rejects", "duplicates", "candidates"}),
        "unlisted": hiding.unlisted.num_rows,
        "superseded": hiding.superseded.num_rows,
        "tombstones": hiding.tombstones.num_rows,
        "missing": hiding.missing.num_rows,
        "outcomes": dict(counts.outcomes),
        "reasons": dict(+counts.reasons),
        "vectors": dict(counts.vectors),
    }


def _tombstones(root: Root, planned: Sequence[Shard], tried_again: pa.Table) -> pa.Table:
    """Return the tombstones of the version to come: unlisted rows, dead links, duplicates of what is left."""
    unlisted, dead = plans.read_unlisted(root), plans.read_dead(root)
    hidden = np.union1d(as_integers(tried_again["key"]), as_integers(unlisted["key"]))
    dead = dead.filter(pa.array(~np.isin(as_integers(dead["key"]), hidden), pa.bool_()))
    gone = np.union1d(hidden, as_integers(dead["key"]))
    twice = find_duplicate_media(root, [shard.number for shard in planned if shard.kind != "text"], gone)
    left = unlisted.num_rows
    tables = [
        pa.table(
            [unlisted["key"], ["filtered"] * left, ["unlisted"] * left, pa.nulls(left, pa.string())],
            schema=TOMBSTONE,
        ),
        pa.table(
            [dead["key"], dead["outcome"], dead["reason"], pa.nulls(dead.num_rows, pa.string())],
            schema=TOMBSTONE,
        ),
        twice,
    ]
    whole = pa.concat_tables(tables).combine_chunks()
    return whole.take(pc.sort_indices(pc.cast(whole["key"], pa.int64())))


def _indices(  # noqa: PLR0913, PLR0917
    root: Root,
    dataset: Dataset,
    planned: Sequence[Shard],
    counts: OutcomeCounts,
    number: int,
    hiding: _Hiding,
    before: Version | None,
) -> list[FileEntry]:
    """Bring the index of every column up to date, and return their files and cards."""
    set_name = dataset.encode.set
    known = {file.path: file for file in before.indices} if before else {}
    entries: list[FileEntry] = []
    for column in COLUMNS:
        if not counts.vectors[column]:
            continue
        there = [path.removesuffix(".json") for path in known if path.endswith(f"/{column}.json")]
        path = extend_index(
            root, set_name, column, planned, hiding.keys, dataset.index, number, there[0] if there else None
        )
        if path:
            entries += [
                known.get(file) or make_entry(root, file) for file in (f"{path}.faiss", f"{path}.json")
            ]
    return entries


def _check_arrived(root: Root, counts: OutcomeCounts, shards: Sequence[Shard]) -> None:
    """Refuse a dataset of which nothing arrived, most of it out of reach: that is no fault of the rows."""
    wanted = sum(shard.rows for shard in shards if shard.kind != "text")
    arrived = counts.vectors["clip_image"] + counts.vectors["clap_audio"]
    beyond = counts.outcomes["transient"] + counts.reasons["blocked/private_address"]
    if not arrived and 2 * beyond > wanted:
        raise NoMediaError(
            f"none of {wanted} pictures and clips arrived in {root.url} and {beyond} were out of reach, "
            "so nothing was published; mend the network, or see fetch.allow_private_hosts, then run "
            "`echolens refresh` on its file"
        )
