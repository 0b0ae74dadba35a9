"""The picture or the sound of a row, read from its shard's tar by a byte range."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import BinaryIO, Literal

from pipelines.errors import NoSuchRowError, StorageError
from pipelines.lookup.rows import VersionRows
from pipelines.store.io_errors import as_storage_errors
from pipelines.store.shards import MAX_MEMBER_BYTES, Shard
from schemas.candidate import Kind, format_key

Medium = Literal["picture", "sound"]

# The member of a sample, by the medium that is requested and the kind of the row.
_MEMBERS: dict[tuple[Medium, Kind], str] = {
    ("picture", "image"): "jpg",
    ("picture", "clip"): "0.jpg",
    ("sound", "clip"): "flac",
}
_TYPES: dict[Medium, str] = {"picture": "image/jpeg", "sound": "audio/flac"}

# Tar indices that are cached: one of 1,000 pictures takes about 200 kB.
_KEPT = 256

_BLOCK = 512
# Clips have seven, those of other writers perhaps a few more.
_MEMBERS_A_ROW = 16

# Member -> offset and size of its bytes.
TarIndex = dict[str, tuple[int, int]]


class MediaReader:
    """Reads the media of a version. Safe to use from several threads.

    Args:
        rows: of the version.
    """

    def __init__(self, rows: VersionRows) -> None:
        self._rows = rows
        self._get_index: Callable[[Shard], TarIndex] = lru_cache(_KEPT)(self._read_index)

    def read(self, key: str, medium: Medium) -> tuple[bytes, str]:
        """Return the bytes of a picture or a sound, and their content type.

        Of a clip, the picture is its first frame.

        Raises:
            NoSuchRow: the version has no such row, or the row has no such medium.
            StorageError: the tar is damaged.
        """
        shard, row = self._rows.locate(key)
        member = _MEMBERS.get((medium, shard.kind))
        location = self._get_index(shard).get(
            f"{format_key(shard.number, row, self._rows.shard_rows)}.{member}"
        )
        if location is None:
            raise NoSuchRowError(
                f"the row with the key {key!r} has no {medium}; it is of the kind {shard.kind}"
            )
        start, size = location
        data = self._rows.root.read_range(f"media/{shard.name}.tar", start, start + size)
        return data, _TYPES[medium]

    def _read_index(self, shard: Shard) -> TarIndex:
        """Read the headers of a tar, each located by the one before; the contents are skipped."""
        suffixes = tuple(f".{member}" for (_, kind), member in _MEMBERS.items() if kind == shard.kind)
        if not suffixes:
            return {}
        root, name = self._rows.root, f"media/{shard.name}.tar"
        index: TarIndex = {}
        offset = 0
        try:
            with as_storage_errors(root.url, "read"), root.open(name) as file:
                members = 0
                while header := _read_header(file, offset, name):
                    member, size = header
                    members += 1
                    if members > _MEMBERS_A_ROW * max(shard.rows, 1):
                        raise StorageError(
                            f"{name} has more than {members - 1} members; "
                            "run `echolens build --verify` on its file"
                        )
                    offset += _BLOCK
                    if member.endswith(suffixes):
                        index[member] = (offset, size)
                    offset += -(-size // _BLOCK) * _BLOCK
        except FileNotFoundError as error:
            raise StorageError(f"{root.url} has no {name}; run `echolens build` on its file again") from error
        return index


def _read_header(file: BinaryIO, offset: int, name: str) -> tuple[str, int] | None:
    """Return the name and the size of the member whose header is at an offset; None at the end."""
    file.seek(offset)
    header = file.read(_BLOCK)
    if header == bytes(_BLOCK):
        return None
    damaged = StorageError(f"{name} is damaged at byte {offset}; run `echolens build --verify` on its file")
    if len(header) < _BLOCK or header[257:262] != b"ustar":
        raise damaged
    try:
        member, size = header[:100].rstrip(b"\0").decode(), int(header[124:136].rstrip(b"\0 "), 8)
    except ValueError as error:
        raise damaged from error
    # A negative size would lead back to this header, for ever.
    if not 0 <= size <= MAX_MEMBER_BYTES:
        raise damaged
    return member, size
