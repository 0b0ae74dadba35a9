"""Versions: what belongs to the dataset at one time. One never changes; the highest number is current."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import pyarrow as pa

from pipelines.accounting import Counts, count, shard_files
from pipelines.errors import StopJob, StorageError
from pipelines.filter.duplicates import duplicate_media
from pipelines.index.build import build_index
from pipelines.shards import Shard, planned
from pipelines.storage import Root
from schemas.dataset import Dataset
from schemas.plan import PlanCounts
from schemas.vectors import COLUMNS
from schemas.version import TOMBSTONE, VERSION_SHARD, FileEntry, Version


def numbers(root: Root) -> list[int]:
    """Return the numbers of all versions, ascending."""
    names = (name.removesuffix(".json") for name in root.names("versions", ".json"))
    return sorted(int(name) for name in names if name.isdigit())


def read(root: Root, number: int | None = None) -> Version:
    """Return a version, the current one by default.

    Raises:
        StorageError: there is none.
    """
    there = numbers(root)
    if not there or (number is not None and number not in there):
        found = f"has versions {there} and not {number}" if there else "has no version yet"
        raise StorageError(f"{root.url} {found}; run `echolens build` on its file first")
    chosen = there[-1] if number is None else number
    return Version.model_validate_json(root.read(f"versions/{chosen:04d}.json"))


def tombstones(root: Root, number: int) -> pa.Table:
    """Return the keys that no reader of a version may see (TOMBSTONE)."""
    name = f"versions/{number:04d}.tombstones.parquet"
    return root.read_table(name) if root.exists(name) else TOMBSTONE.empty_table()


def unchanged(root: Root, set_name: str) -> Version | None:
    """Return the current version if it already holds all shards of the plan in this set."""
    if not numbers(root):
        return None
    version = read(root)
    return version if (version.set, version.shards) == (set_name, len(planned(root))) else None


def publish(root: Root, dataset: Dataset) -> Version:
    """Find duplicates, build the indices, and create the next version from all committed shards.

    Raises:
        StorageError: a shard is not committed, or another job published meanwhile.
    """
    shards = planned(root)
    number = max(numbers(root), default=0) + 1
    name = f"versions/{number:04d}"
    set_name = dataset.encode.set
    gone = duplicate_media(root, [shard.number for shard in shards if shard.kind != "text"])
    root.write_table(f"{name}.tombstones.parquet", gone)
    root.write_table(f"{name}.parquet", _shard_table(root, set_name, shards))
    counts = count(root, set_name, shards, gone)
    if dataset.encode.clip is not None:
        _check_arrived(root, counts, shards)
    if counts.pending:
        raise StorageError(f"{root.url} has {counts.pending} rows that are not through; run the build again")
    for column in COLUMNS:
        if counts.vectors[column]:
            build_index(root, set_name, column, shards, gone, dataset.index, number)
    plan = PlanCounts.model_validate_json(root.read("plan/counts.json"))
    version = Version(
        number=number,
        name=dataset.name,
        set=set_name,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        shards=len(shards),
        rows_read=plan.rows_read,
        rejects=plan.rejects,
        duplicates=plan.duplicates,
        candidates=plan.candidates,
        outcomes=dict(counts.outcomes),
        reasons=dict(counts.reasons),
        vectors=dict(counts.vectors),
        tables=[_entry(root, f"{name}.parquet"), _entry(root, f"{name}.tombstones.parquet")],
        indices=[
            _entry(root, f"indices/{set_name}/{number:04d}/{file}")
            for file in root.names(f"indices/{set_name}/{number:04d}")
        ],
    )
    if not root.create(f"{name}.json", (version.model_dump_json(indent=2) + "\n").encode()):
        # Another job was quicker. If it published the same shards, that is what was asked for.
        if there := unchanged(root, set_name):
            return there
        raise StorageError(f"version {number} of {root.url} was published by another job; run this one again")
    return version


def _check_arrived(root: Root, counts: Counts, shards: Sequence[Shard]) -> None:
    """Refuse a dataset of which nothing arrived, most of it out of reach: that is no fault of the rows."""
    wanted = sum(shard.rows for shard in shards if shard.kind != "text")
    arrived = counts.vectors["clip_image"] + counts.vectors["clap_audio"]
    beyond = counts.outcomes["transient"] + counts.reasons["blocked/private_address"]
    if not arrived and 2 * beyond > wanted:
        raise StopJob(
            f"none of {wanted} pictures and clips arrived in {root.url} and {beyond} were out of reach, "
            "so nothing was published; mend the network, or see fetch.allow_private_hosts, then build into "
            "another root"
        )


def _entry(root: Root, path: str) -> FileEntry:
    return FileEntry(path=path, bytes=root.size(path), sha256=root.sha256(path))


def _shard_table(root: Root, set_name: str, shards: Sequence[Shard]) -> pa.Table:
    rows = []
    for shard in shards:
        of = {"shard": shard.number, "kind": shard.kind, "lane": shard.lane, "rows": shard.rows}
        rows += [of | _entry(root, path).model_dump() for path in shard_files(set_name, shard)]
    return pa.Table.from_pylist(rows, schema=VERSION_SHARD)
