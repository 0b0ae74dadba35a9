"""The picture or the sound of a row, read from its shard's tar without reading the rest of it."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import BinaryIO, Literal

from pipelines.errors import NoSuchRowError, StorageError
from pipelines.lookup.rows import VersionRows
from pipelines.store.io_errors import as_storage_errors
from pipelines.store.shards import Shard
from schemas.candidate import Kind, format_key

Medium = Literal["picture", "sound"]

# The member of a sample that shows it, by what is asked for and what it is.
_MEMBERS: dict[tuple[Medium, Kind], str] = {
    ("picture", "image"): "jpg",
    ("picture", "clip"): "0.jpg",
    ("sound", "clip"): "flac",
}
_TYPES: dict[Medium, str] = {"picture": "image/jpeg", "sound": "audio/flac"}

# Tables of contents that are kept: of 1,000 pictures one takes about 200 kB.
_KEPT = 256

_BLOCK = 512

# Member -> where its bytes begin, and how many there are.
Places = dict[str, tuple[int, int]]


class MediaReader:
    """The media of a version. Safe to use from several threads.

    Args:
        rows: of the version.
    """

    def __init__(self, rows: VersionRows) -> None:
        self._rows = rows
        self._places: Callable[[Shard], Places] = lru_cache(_KEPT)(self._read_places)

    def read(self, key: str, medium: Medium) -> tuple[bytes, str]:
        """Return the bytes of a picture or a sound, and their content type.

        Of a clip, the picture is its first frame.

        Raises:
            NoSuchRow: the version has no such row, or the row has no such medium.
            StorageError: the tar is damaged.
        """
        shard, row = self._rows.place(key)
        member = _MEMBERS.get((medium, shard.kind))
        at = self._places(shard).get(f"{format_key(shard.number, row, self._rows.shard_rows)}.{member}")
        if at is None:
            raise NoSuchRowError(
                f"the row with the key {key!r} has no {medium}; it is of the kind {shard.kind}"
            )
        start, size = at
        root, name = self._rows.root, f"media/{shard.name}.tar"
        with as_storage_errors(root.url, "read"):
            data = bytes(root.fs.cat_file(root.get_path(name), start=start, end=start + size))
        return data, _TYPES[medium]

    def _read_places(self, shard: Shard) -> Places:
        """Read the headers of a tar, each found from the one before; what lies between is skipped."""
        wanted = tuple(f".{member}" for (_, kind), member in _MEMBERS.items() if kind == shard.kind)
        if not wanted:
            return {}
        root, name = self._rows.root, f"media/{shard.name}.tar"
        places: Places = {}
        at = 0
        try:
            with as_storage_errors(root.url, "read"), root.open(name) as file:
                while header := _header(file, at, name):
                    member, size = header
                    at += _BLOCK
                    if member.endswith(wanted):
                        places[member] = (at, size)
                    at += -(-size // _BLOCK) * _BLOCK
        except FileNotFoundError as error:
            raise StorageError(f"{root.url} has no {name}; run `echolens build` on its file again") from error
        return places


def _header(file: BinaryIO, at: int, name: str) -> tuple[str, int] | None:
    """Return the name and the size of the member whose header begins at a byte; None at the end."""
    file.seek(at)
    header = file.read(_BLOCK)
    if header == bytes(_BLOCK):
        return None
    if len(header) < _BLOCK or header[257:262] != b"ustar":
        raise StorageError(f"{name} is damaged at byte {at}; run `echolens build --verify` on its file")
    return header[:100].rstrip(b"\0").decode(), int(header[124:136].rstrip(b"\0 "), 8)
