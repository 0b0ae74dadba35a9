"""What versions say of their files, against the files: what is damaged or missing, and how it is mended.

A shard is mended by being made again. Its files are moved to runs/, never removed: what is whole among them
may be all that is left of its media.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import pyarrow as pa

from pipelines.errors import StorageError
from pipelines.store import versions
from pipelines.store.manifest import make_entry
from pipelines.store.root import Root
from schemas.candidate import CANDIDATE, format_shard
from schemas.version import FileEntry, Version

Found = Literal["missing", "size", "sha256"]


@dataclass(frozen=True, slots=True)
class DamagedFile:
    """A file that is not what versions say.

    Attributes:
        path: below the root.
        found: what is wrong: it is not there, has another size, or other bytes of the same size.
        versions: that name it.
        shard: that it is of; None of a table or an index of a version.
    """

    path: str
    found: Found
    versions: tuple[int, ...]
    shard: int | None

    def __str__(self) -> str:
        what = {"missing": "is missing", "size": "has another size", "sha256": "has other bytes"}[self.found]
        named = ", ".join(str(number) for number in self.versions)
        return f"{self.path} {what} (versions {named}); {self.remedy}"

    @property
    def remedy(self) -> str:
        """What to do."""
        if self.path.startswith(("candidates/", "media/", "vectors/")):
            return "run `echolens build --verify` on the dataset's file to make it again"
        if self.path.startswith("indices/"):
            return "run `echolens build --verify` on the dataset's file to publish a version that has it"
        return "put it back from a copy, or let `echolens clean` drop that version"


def find_damage(
    root: Root,
    of: Iterable[Version],
    whole: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> list[DamagedFile]:
    """Return every file of some versions that is not what they say.

    Args:
        root: of the dataset.
        of: the versions.
        whole: whether files are read and their bytes compared, not only their sizes.
        progress: is told how many bytes have been read, of how many.
    """
    named = _named(root, of)
    found: list[DamagedFile] = []
    sizes: dict[str, dict[str, int]] = {}
    total, read = sum(file.bytes for file, _, _ in named.values()), 0
    for path, (file, numbers, shard) in sorted(named.items()):
        folder, _, name = path.rpartition("/")
        if folder not in sizes:
            sizes[folder] = root.list_sizes(folder)
        size = sizes[folder].get(name)
        if size is None:
            found.append(DamagedFile(path, "missing", tuple(numbers), shard))
        elif size != file.bytes:
            found.append(DamagedFile(path, "size", tuple(numbers), shard))
        elif whole:
            if root.compute_sha256(path) != file.sha256:
                found.append(DamagedFile(path, "sha256", tuple(numbers), shard))
            read += size
            if progress:
                progress(read, total)
    return found


_Named = dict[str, tuple[FileEntry, list[int], int | None]]


def _named(root: Root, of: Iterable[Version]) -> _Named:
    """Return every file that versions name: with its versions, and its shard if it is of one."""
    named: _Named = {}

    def add(file: FileEntry, number: int, shard: int | None) -> None:
        _, numbers, _ = named.setdefault(file.path, (file, [], shard))
        if number not in numbers:
            numbers.append(number)

    for version in of:
        for file in (*version.tables, *version.indices):
            add(file, version.number, None)
        path = f"versions/{version.number:04d}.parquet"
        try:
            table = root.read_table(path, columns=["shard", "path", "bytes", "sha256"])
        except (FileNotFoundError, StorageError):
            continue  # said by its own entry
        for line in table.to_pylist():
            shard = line.pop("shard")
            add(FileEntry(**line), version.number, shard)
    return named


def quarantine(root: Root, found: Sequence[DamagedFile]) -> frozenset[int]:
    """Move the files of damaged shards out of the way, and return the shards that are to be made again.

    What a shard's candidates were is read back from the table of its media.

    Raises:
        StorageError: nothing of the root says what the candidates of a shard were.
    """
    place = f"runs/{datetime.now(UTC).strftime('%Y%m%dT%H%M%S.%fZ')}-set-aside"
    shards = sorted({damage.shard for damage in found if damage.shard is not None})
    for shard in shards:
        name = format_shard(shard)
        broken = {damage.path for damage in found if damage.shard == shard}
        if f"candidates/{name}.parquet" in broken:
            _restore_candidates(root, name, broken)
        if any(path.startswith("media/") for path in broken):
            # Vectors first: without their marker they are made again, of whatever the media are then.
            for set_name in root.list_names("vectors"):
                _move(root, f"vectors/{set_name}/{name}.parquet", place)
            marker = f"media/{name}_stats.json"
            for path in (marker, f"media/{name}.parquet", f"media/{name}.tar"):
                _move(root, path, place)
        for path in sorted(broken):
            if path.startswith("vectors/"):
                # The table is the marker: without it the tar is written again as well.
                table = path.removesuffix(".tar").removesuffix(".parquet") + ".parquet"
                _move(root, table, place)
    return frozenset(shards)


def find_rewritten(root: Root, version: Version, shards: Collection[int]) -> bool:
    """Return whether shards that were made again are other bytes than a version says."""
    if not shards:
        return False
    table = root.read_table(f"versions/{version.number:04d}.parquet")
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
    rows = root.read_table(table, columns=CANDIDATE.names)
    columns = [column.combine_chunks() for column in rows.columns]
    root.write_table(f"candidates/{name}.parquet", pa.Table.from_arrays(columns, schema=CANDIDATE))


def _move(root: Root, path: str, place: str) -> None:
    if root.exists(path):
        root.move(path, f"{place}/{path}")


def read_all_versions(root: Root) -> list[Version]:
    """Return every version of a root, the oldest first."""
    return [versions.read_version(root, number) for number in versions.list_numbers(root)]
