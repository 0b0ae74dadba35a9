"""Find and remove garbage: files of versions that are not kept, and leftovers of jobs that were killed.

Nothing behind a link is garbage: it lies elsewhere, and may belong to something else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from pipelines.store import plans, versions
from pipelines.store.atomic import TEMPORARY
from pipelines.store.lease import hold_lease
from pipelines.store.root import Root
from schemas.candidate import parse_shard
from schemas.version import Version


@dataclass(frozen=True, slots=True)
class GarbageFile:
    """A file that may be removed.

    Attributes:
        path: below the root.
        bytes: its size.
    """

    path: str
    bytes: int


def clean(root: Root, keep: int, yes: bool) -> list[GarbageFile]:
    """Return the files that the newest versions do not name, and remove them if `yes`.

    Args:
        root: of a dataset.
        keep: how many versions of each set of vectors.
        yes: whether to do it.
    """
    if not yes:
        return find_garbage(root, list_kept_versions(root, keep))
    with hold_lease(root, "clean"):
        garbage = find_garbage(root, list_kept_versions(root, keep))
        remove(root, garbage)
    return garbage


def list_kept_versions(root: Root, keep: int) -> list[Version]:
    """Return the newest `keep` versions of every set of vectors, the oldest first.

    A version with shards that were purged is never kept.
    """
    kept: list[Version] = []
    counts: Counter[str] = Counter()
    dropped = plans.read_dropped(root)
    for number in reversed(versions.list_numbers(root)):
        version = versions.read_version(root, number)
        if counts[version.set] < keep and not (dropped and dropped & _list_shard_numbers(root, version)):
            counts[version.set] += 1
            kept.append(version)
    return kept[::-1]


def find_garbage(root: Root, kept: Sequence[Version]) -> list[GarbageFile]:
    """Return every file that no kept version and no plan names.

    Runs, reports, translators and generated media belong to the user and stay, except files that were never
    finished. Translated vectors stay as long as their shards do.
    """
    named = {file.path for version in kept for file in (*version.tables, *version.indices)}
    named |= {f"versions/{version.number:04d}.json" for version in kept}
    numbers = {shard.number for shard in plans.list_shards(root)}
    for version in kept:
        numbers |= _list_shard_numbers(root, version)
    garbage = [
        GarbageFile(path, size)
        for path, size in _list_files(root, ("versions", *_list_folders(root, "indices")))
        if path not in named
    ]
    for path, size in _list_files(root, ("candidates", "media", "splits", *_list_folders(root, "vectors"))):
        if parse_shard(path.rpartition("/")[2]) not in numbers:
            garbage.append(GarbageFile(path, size))
    for path, size in _list_translated(root):
        if parse_shard(path.rpartition("/")[2]) not in numbers:
            garbage.append(GarbageFile(path, size))
    garbage += [
        GarbageFile(path, size)
        for path, size in _list_files(root, _list_user_folders(root))
        if TEMPORARY in path
    ]
    return sorted(set(garbage), key=lambda file: file.path)


def remove(root: Root, files: Iterable[GarbageFile]) -> None:
    """Remove files; manifests of versions first, so that no manifest names a file that is gone."""
    for file in sorted(files, key=lambda file: (not _is_manifest(file.path), file.path)):
        root.remove(file.path)


def find_traces(root: Root, shards: Collection[int]) -> list[GarbageFile]:
    """Return other files with content of some shards: pages, hashes, translated vectors, quarantines."""
    evaluated = [f"evaluations/{name}" for name in root.list_folders("evaluations", follow=False)]
    # Pages hold media of rows.
    pages = [each for each in _list_files(root, evaluated) if each[0].endswith(".html")]
    garbage = [*_list_files(root, ["reports"]), *pages]
    garbage += [
        (path, size)
        for path, size in [*_list_translated(root), *_list_files(root, ["splits"])]
        if parse_shard(path.rpartition("/")[2]) in shards
    ]
    quarantines = [
        f"runs/{name}" for name in root.list_folders("runs", follow=False) if name.endswith("-set-aside")
    ]
    sets = [
        f"{folder}/vectors/{name}"
        for folder in quarantines
        for name in root.list_folders(f"{folder}/vectors", follow=False)
    ]
    for path, size in _list_files(root, [*(f"{folder}/media" for folder in quarantines), *sets]):
        if parse_shard(path.rpartition("/")[2]) in shards:
            garbage.append((path, size))
    return [GarbageFile(path, size) for path, size in garbage]


def _list_translated(root: Root) -> list[tuple[str, int]]:
    """Return the tables of translated vectors, one a shard; their cards are left out."""
    parents = [f"translators/{name}/vectors" for name in root.list_folders("translators", follow=False)]
    folders = [f"{folder}/{name}" for folder in parents for name in root.list_folders(folder, follow=False)]
    return [(path, size) for path, size in _list_files(root, folders) if path.endswith(".parquet")]


def _list_shard_numbers(root: Root, version: Version) -> frozenset[int]:
    return frozenset(shard.number for shard in versions.read_shards(root, version))


def _is_manifest(path: str) -> bool:
    return path.startswith("versions/") and path.endswith(".json")


def _list_folders(root: Root, parent: str) -> list[str]:
    """Return the folders below indices/ or vectors/ that have files."""
    sets = [f"{parent}/{name}" for name in root.list_folders(parent, follow=False)]
    if parent == "vectors":
        return sets
    return [f"{folder}/{name}" for folder in sets for name in root.list_folders(folder, follow=False)]


def _list_user_folders(root: Root) -> list[str]:
    """Return the folders in which only files that were never finished are garbage."""
    parents = (
        "generated",
        "translators",
        "models",
        "evaluations",
        *(f"runs/{run}" for run in root.list_folders("runs", follow=False)),
    )
    folders = [f"{parent}/{name}" for parent in parents for name in root.list_folders(parent, follow=False)]
    inner = (f"{folder}/{name}" for folder in folders for name in ("prompts", "judged"))
    return ["", "plan", "reports", *folders, *inner]


def _list_files(root: Root, folders: Iterable[str]) -> list[tuple[str, int]]:
    return [
        (f"{folder}/{name}".lstrip("/"), size)
        for folder in folders
        for name, size in sorted(root.list_sizes(folder, follow=False).items())
    ]
