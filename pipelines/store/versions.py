"""Versions: what belongs to the dataset at one time. A version never changes; the highest is current.

Every set of vectors has its own versions: the current version of a set is the highest that names it.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.errors import StorageError
from pipelines.store import plans
from pipelines.store.counts import Overlay, as_integers, build_overlay
from pipelines.store.json_file import make_damaged_error, read_json
from pipelines.store.parquet_file import select_schema
from pipelines.store.root import Root
from pipelines.store.shards import Shard
from pipelines.store.vectors import VectorReader
from schemas.candidate import KINDS, Kind
from schemas.version import SUPERSEDED, TOMBSTONE, Version


def list_numbers(root: Root) -> list[int]:
    """Return the numbers of all versions, ascending."""
    names = (name.removesuffix(".json") for name in root.list_names("versions", ".json"))
    return sorted(int(name) for name in names if name.isdigit())


def read_version(root: Root, number: int | None = None) -> Version:
    """Return a version, the current one by default.

    Raises:
        StorageError: there is none, or its manifest is damaged.
    """
    numbers = list_numbers(root)
    if not numbers:
        raise StorageError(f"{root.url} has no version yet; run `echolens build` on its file first")
    if number is not None and number not in numbers:
        known = ", ".join(map(str, numbers))
        raise StorageError(
            f"{root.url} has no version {number}; name one of {known}, or run `echolens refresh` for another"
        )
    number = numbers[-1] if number is None else number
    advice = "put it back from a copy, or remove it and run `echolens build` on the dataset's file"
    version = read_json(root, f"versions/{number:04d}.json", Version, advice)
    if version.number != number:
        raise make_damaged_error(
            root, f"versions/{number:04d}.json", f"it says that it is version {version.number}", advice
        )
    return version


def find_current(root: Root, set_name: str) -> Version | None:
    """Return the current version of a set of vectors, or None."""
    for number in reversed(list_numbers(root)):
        version = read_version(root, number)
        if version.set == set_name:
            return version
    return None


def read_current(root: Root, set_name: str) -> Version:
    """Return the current version of a set of vectors.

    Raises:
        StorageError: there is none.
    """
    if version := find_current(root, set_name):
        return version
    read_version(root)
    known = sorted({read_version(root, number).set for number in list_numbers(root)})
    raise StorageError(
        f"{root.url} has no version of the set {set_name!r}, only of {', '.join(map(repr, known))}; build "
        "it, or name another with --set"
    )


def read_shards(root: Root, version: Version) -> list[Shard]:
    """Return the shards of a version, in the order of their numbers."""
    columns = ["shard", "kind", "lane", "rows"]
    table = root.read_table(f"versions/{version.number:04d}.parquet", columns=columns)
    kinds: dict[str, Kind] = {kind: kind for kind in KINDS}
    lines = table.group_by(columns).aggregate([]).sort_by("shard").to_pylist()
    return [Shard(line["shard"], kinds[line["kind"]], line["lane"], line["rows"]) for line in lines]


def open_vectors(root: Root, version: Version) -> VectorReader:
    """Return the reader of a version's vectors, without the rows that it hides."""
    removed = as_integers(read_removed(root, version.number)["key"])
    return VectorReader(root, version.set, read_shards(root, version), removed)


def read_tombstones(root: Root, number: int) -> pa.Table:
    """Return the keys that no reader of a version may see (TOMBSTONE)."""
    return _read_optional(root, number, "tombstones", TOMBSTONE)


def read_superseded(root: Root, number: int) -> pa.Table:
    """Return the keys of a version that were retried, and under which new key (SUPERSEDED)."""
    return _read_optional(root, number, "superseded", SUPERSEDED)


def read_removed(root: Root, number: int) -> pa.Table:
    """Return every key that no search of a version may find: a table with the one column `key`."""
    tables = (read_tombstones(root, number), read_superseded(root, number))
    return pa.concat_tables([table.select(["key"]) for table in tables])


def read_overlay(root: Root, number: int) -> Overlay:
    """Return the corrections of the outcomes in the tables of a version's shards."""
    tombstones = read_tombstones(root, number)
    unlisted = tombstones.filter(pc.equal(tombstones["reason"], "unlisted"))
    return build_overlay(read_superseded(root, number), unlisted, tombstones)


def find_unchanged(root: Root, set_name: str) -> Version | None:
    """Return the current version of a set if it holds everything that is planned, else None."""
    version = find_current(root, set_name)
    planned = plans.list_folders(root)
    is_last = version and planned and version.plan == planned[-1]
    return version if version and is_last and version.shards == len(plans.list_shards(root)) else None


def _read_optional(root: Root, number: int, name: str, schema: pa.Schema) -> pa.Table:
    path = f"versions/{number:04d}.{name}.parquet"
    if not root.exists(path):
        return schema.empty_table()
    return select_schema(root.read_table(path, columns=schema.names), schema, f"{root.url}/{path}")
