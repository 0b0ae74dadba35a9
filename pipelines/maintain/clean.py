"""What no version that is kept names: old versions, their indices, and what jobs that were killed left."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from pipelines.store import plans, versions
from pipelines.store.atomic import TEMPORARY
from pipelines.store.root import Root
from schemas.candidate import parse_shard
from schemas.version import Version


@dataclass(frozen=True, slots=True)
class GarbageFile:
    """A file that may go.

    Attributes:
        path: below the root.
        bytes: that it takes.
    """

    path: str
    bytes: int


def list_kept_versions(root: Root, keep: int) -> list[Version]:
    """Return the newest versions of every set of vectors, so many of each, the oldest first.

    A version with shards that were purged is kept by none.
    """
    found: dict[str, list[Version]] = {}
    dropped = plans.read_dropped(root)
    for number in reversed(versions.list_numbers(root)):
        version = versions.read_version(root, number)
        of_set = found.setdefault(version.set, [])
        if len(of_set) < keep and not (dropped and dropped & _shards(root, version)):
            of_set.append(version)
    return sorted((version for of_set in found.values() for version in of_set), key=lambda v: v.number)


def find_garbage(root: Root, kept: Sequence[Version]) -> list[GarbageFile]:
    """Return every file that no kept version and no plan names.

    Runs, reports, translators and what was generated are nobody's but a person's: they stay, all but files
    that were never finished. Of translated vectors those stay whose shards do.
    """
    wanted = {file.path for version in kept for file in (*version.tables, *version.indices)}
    wanted |= {f"versions/{version.number:04d}.json" for version in kept}
    numbers = {shard.number for shard in plans.list_shards(root)}
    for version in kept:
        numbers |= _shards(root, version)
    found = [
        GarbageFile(path, size)
        for path, size in _below(root, ("versions", *_folders(root, "indices")))
        if path not in wanted
    ]
    for path, size in _below(root, ("candidates", "media", *_folders(root, "vectors"))):
        if parse_shard(path.rpartition("/")[2]) not in numbers:
            found.append(GarbageFile(path, size))
    for path, size in _translated(root):
        if parse_shard(path.rpartition("/")[2]) not in numbers:
            found.append(GarbageFile(path, size))
    found += [GarbageFile(path, size) for path, size in _below(root, _elsewhere(root)) if TEMPORARY in path]
    return sorted(set(found), key=lambda one: one.path)


def remove(root: Root, files: Iterable[GarbageFile]) -> None:
    """Remove files; a version's manifest goes first, so that none is ever there without its files."""
    for one in sorted(files, key=lambda one: (not _is_manifest(one.path), one.path)):
        root.remove(one.path)


def find_traces(root: Root, shards: Collection[int]) -> list[GarbageFile]:
    """Return what else shows media of some shards: reports, translated vectors, files set aside."""
    found = _below(root, ["reports"])
    found += [
        (path, size) for path, size in _translated(root) if parse_shard(path.rpartition("/")[2]) in shards
    ]
    aside = [f"runs/{name}" for name in root.list_names("runs") if name.endswith("-set-aside")]
    sets = [f"{folder}/vectors/{name}" for folder in aside for name in root.list_names(f"{folder}/vectors")]
    for path, size in _below(root, [*(f"{folder}/media" for folder in aside), *sets]):
        if parse_shard(path.rpartition("/")[2]) in shards:
            found.append((path, size))
    return [GarbageFile(path, size) for path, size in found]


def _translated(root: Root) -> list[tuple[str, int]]:
    """Return the tables of translated vectors, one a shard; what says of which version stays."""
    above = [f"translators/{name}/vectors" for name in root.list_folders("translators")]
    folders = [f"{folder}/{name}" for folder in above for name in root.list_folders(folder)]
    return [(path, size) for path, size in _below(root, folders) if path.endswith(".parquet")]


def _shards(root: Root, version: Version) -> frozenset[int]:
    return frozenset(shard.number for shard in versions.read_shards(root, version))


def _is_manifest(path: str) -> bool:
    return path.startswith("versions/") and path.endswith(".json")


def _folders(root: Root, above: str) -> list[str]:
    """Return the folders below indices/ and vectors/ that hold files."""
    sets = [f"{above}/{name}" for name in root.list_folders(above)]
    if above == "vectors":
        return sets
    return [f"{folder}/{name}" for folder in sets for name in root.list_folders(folder)]


def _elsewhere(root: Root) -> list[str]:
    """Return the folders of which only files that were never finished may go."""
    made = [f"{above}/{name}" for above in ("generated", "translators") for name in root.list_folders(above)]
    return ["", "plan", "reports", *made, *(f"{folder}/prompts" for folder in made)]


def _below(root: Root, folders: Iterable[str]) -> list[tuple[str, int]]:
    return [
        (f"{folder}/{name}".lstrip("/"), size)
        for folder in folders
        for name, size in sorted(root.list_sizes(folder).items())
    ]
