"""Compare files with the entries of versions: find damaged and missing ones, and prepare their repair.

A shard is repaired by processing it again. Its files are moved to runs/, never removed: the undamaged ones
may be all that is left of its media.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import pyarrow as pa
from pydantic import ValidationError

from pipelines.errors import StorageError
from pipelines.store.candidate_extras import extend_schema, read_candidate_table
from pipelines.store.manifest import make_entry
from pipelines.store.root import Root
from pipelines.store.versions import list_numbers, read_version
from schemas.candidate import CANDIDATE, format_shard
from schemas.version import VERSION_SHARD, FileEntry, Version

Damage = Literal["missing", "size", "sha256"]


@dataclass(frozen=True, slots=True)
class DamagedFile:
    """A file that differs from its entry in versions.

    Attributes:
        path: below the root.
        found: the difference: it is missing, has another size, or other bytes of the same size.
        versions: that name it.
        shard: to which it belongs; None for a table or an index of a version.
    """

    path: str
    found: Damage
    versions: tuple[int, ...]
    shard: int | None

    def __str__(self) -> str:
        what = {"missing": "is missing", "size": "has another size", "sha256": "has other bytes"}[self.found]
        numbers = ", ".join(str(number) for number in self.versions)
        return f"{self.path} {what} (versions {numbers}); {self.remedy}"

    @property
    def remedy(self) -> str:
        """The command that repairs it."""
        if self.path.startswith(("candidates/", "media/", "vectors/")):
            return "run `echolens build --verify` on the dataset's file to make it again"
        if self.path.startswith("indices/"):
            return "run `echolens build --verify` on the dataset's file to publish a version that has it"
        return "put it back from a copy, or let `echolens clean` drop that version"


def find_damage(
    root: Root,
    versions: Iterable[Version],
    compare_hashes: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> list[DamagedFile]:
    """Return the files of some versions that differ from their entries.

    Args:
        root: of the dataset.
        versions: whose files are checked.
        compare_hashes: whether files are read and their hashes compared, not only their sizes.
        progress: receives the bytes read so far, and their total.
    """
    named_files = _list_named_files(root, versions)
    damaged: list[DamagedFile] = []
    sizes: dict[str, dict[str, int]] = {}
    total, read = sum(file.bytes for file, _, _ in named_files.values()), 0
    for path, (file, numbers, shard) in sorted(named_files.items()):
        folder, _, name = path.rpartition("/")
        if folder not in sizes:
            sizes[folder] = root.list_sizes(folder)
        size = sizes[folder].get(name)
        if size is None:
            damaged.append(DamagedFile(path, "missing", tuple(numbers), shard))
        elif size != file.bytes:
            damaged.append(DamagedFile(path, "size", tuple(numbers), shard))
        elif compare_hashes:
            if root.compute_sha256(path) != file.sha256:
                damaged.append(DamagedFile(path, "sha256", tuple(numbers), shard))
            read += size
            if progress:
                progress(read, total)
    return damaged


_NamedFiles = dict[str, tuple[FileEntry, list[int], int | None]]


def _list_named_files(root: Root, versions: Iterable[Version]) -> _NamedFiles:
    """Return path -> entry, versions, and shard if any, of every file that versions name."""
    named_files: _NamedFiles = {}

    def add(file: FileEntry, number: int, shard: int | None) -> None:
        _, numbers, _ = named_files.setdefault(file.path, (file, [], shard))
        if number not in numbers:
            numbers.append(number)

    for version in versions:
        for file in (*version.tables, *version.indices):
            add(file, version.number, None)
        path = f"versions/{version.number:04d}.parquet"
        try:
            table = root.read_table(path, columns=["shard", "path", "bytes", "sha256"])
        except (FileNotFoundError, StorageError):
            continue  # its own entry tells that it is damaged
        try:
            for line in table.to_pylist():
                shard = line.pop("shard")
                add(FileEntry(**line), version.number, shard)
        except ValidationError as error:
            problem = error.errors()[0]
            raise StorageError(
                f"{path} of {root.url} names the file {str(problem['input'])[:200]!r} ({problem['msg']}); "
                "take another copy of this root"
            ) from error
    return named_files


def quarantine(root: Root, damaged: Sequence[DamagedFile]) -> frozenset[int]:
    """Move the files of damaged shards to runs/, and return the shards that have to be processed again.

    A shard's candidates are restored from the table of its media.

    Raises:
        StorageError: the candidates of a shard cannot be restored.
    """
    folder = f"runs/{datetime.now(UTC).strftime('%Y%m%dT%H%M%S.%fZ')}-set-aside"
    shards = sorted({file.shard for file in damaged if file.shard is not None})
    for shard in shards:
        name = format_shard(shard)
        broken = {file.path for file in damaged if file.shard == shard}
        if f"candidates/{name}.parquet" in broken:
            _restore_candidates(root, name, broken)
        if any(path.startswith("media/") for path in broken):
            # Vectors first: without their marker they are encoded again, from the media as they are then.
            for set_name in root.list_names("vectors"):
                _move_file(root, f"vectors/{set_name}/{name}.parquet", folder)
            marker = f"media/{name}_stats.json"
            for path in (marker, f"media/{name}.parquet", f"media/{name}.tar"):
                _move_file(root, path, folder)
        for path in sorted(broken):
            if path.startswith("vectors/"):
                # The table is the marker: without it, the tar and the windows are written again, too.
                _move_file(root, f"{path.rpartition('/')[0]}/{name}.parquet", folder)
    return frozenset(shards)


def find_rewritten(root: Root, version: Version, shards: Collection[int]) -> bool:
    """Return whether shards that were processed again have other bytes than a version's entries say."""
    if not shards:
        return False
    table = root.read_table(f"versions/{version.number:04d}.parquet", columns=VERSION_SHARD.names)
    return any(
        make_entry(root, line["path"]).sha256 != line["sha256"]
        for line in table.to_pylist()
        if line["shard"] in shards
    )


def _restore_candidates(root: Root, name: str, broken: Collection[str]) -> None:
    table = f"media/{name}.parquet"
    if table in broken or not root.exists(table):
        raise StorageError(
            f"{root.url}/candidates/{name}.parquet is damaged and nothing else says what was in it; "
            "put it back from a copy, or build into another root"
        )
    rows = read_candidate_table(root, table)
    columns = [column.combine_chunks() for column in rows.columns]
    schema = extend_schema(CANDIDATE, rows.column_names)
    root.write_table(f"candidates/{name}.parquet", pa.Table.from_arrays(columns, schema=schema))


def _move_file(root: Root, path: str, folder: str) -> None:
    if root.exists(path):
        root.move(path, f"{folder}/{path}")


def read_all_versions(root: Root) -> list[Version]:
    """Return every version of a root, the oldest first."""
    return [read_version(root, number) for number in list_numbers(root)]
