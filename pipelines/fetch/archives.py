"""Members of tars and zips, read without unpacking the whole: where each lies is listed once an archive.

A packed tar cannot be read from the middle. So while it is listed, what the unpacker remembers is kept every
few megabytes, and a member is unpacked from the nearest such mark on.
"""

from __future__ import annotations

import tarfile
import threading
import zipfile
import zlib
from bisect import bisect_right
from functools import lru_cache
from typing import Any, NamedTuple

import fsspec

from pipelines.errors import DamagedArchiveError

SUFFIXES = (".tar", ".tar.gz", ".tgz", ".zip")

# From one mark to the next, unpacked: 10 ms of work. A mark is 40 kB, so a tar of 16 GB has 80 MB of them.
_MARK_BYTES = 8 << 20
_BLOCK_BYTES = 1 << 18
# Of gzip, not zlib, and as many as follow each other.
_GZIP_BITS = 31
# A shard's rows lie in one foreign tar or two, and four shards are under way at once; VGGSound's mirrors
# ship twenty.
_KEPT = 64

_listing = threading.Lock()


class MemberSpan(NamedTuple):
    """Where a member begins in its archive (unpacked, for a packed tar), and how long it is."""

    start: int
    size: int


def is_archive(file: str) -> bool:
    """Return whether a file's name is that of an archive."""
    return file.lower().endswith(SUFFIXES)


def list_members(file: str, state: str) -> dict[str, MemberSpan]:
    """Return the files in an archive by their names, without a leading `./`.

    Args:
        file: a path or an fsspec URL.
        state: its time or ETag: an archive that was written anew is another.

    Raises:
        Damaged: it cannot be listed to its end.
    """
    return _listed(file, state)[0]


def read(file: str, state: str, member: str) -> bytes:
    """Return a member's bytes.

    Raises:
        KeyError: there is no such member.
        Damaged: it cannot be unpacked.
    """
    spans, marks = _listed(file, state)
    span = spans[member]
    fs, path = fsspec.core.url_to_fs(file)
    if file.lower().endswith(".zip"):
        return _unzipped(fs, path, member)
    if marks is None:
        data: bytes = fs.cat_file(path, start=span.start, end=span.start + span.size)
    else:
        with fs.open(path, "rb") as packed:
            gzip = SeekableGzip(packed, marks)
            gzip.seek(span.start)
            data = gzip.read(span.size)
    if len(data) < span.size:
        raise DamagedArchiveError
    return data


def _listed(file: str, state: str) -> tuple[dict[str, MemberSpan], GzipCheckpoints | None]:
    # One thread lists and the others wait: twenty of them would each read the whole of a packed tar.
    with _listing:
        return _list(file, state)


@lru_cache(maxsize=_KEPT)
def _list(file: str, state: str) -> tuple[dict[str, MemberSpan], GzipCheckpoints | None]:  # noqa: ARG001 - of the cache's key
    fs, path = fsspec.core.url_to_fs(file)
    try:
        with fs.open(path, "rb") as opened:
            if file.lower().endswith(".zip"):
                with zipfile.ZipFile(opened) as archive:
                    infos = [info for info in archive.infolist() if not info.is_dir()]
                return {
                    _bare(info.filename): MemberSpan(info.header_offset, info.file_size) for info in infos
                }, None
            if file.lower().endswith(".tar"):
                return _tar_members(opened), None
            gzip = SeekableGzip(opened, GzipCheckpoints())
            return _tar_members(gzip), gzip.marks
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise DamagedArchiveError from error


def _tar_members(opened: Any) -> dict[str, MemberSpan]:
    with tarfile.open(fileobj=opened, mode="r:") as tar:
        return {_bare(info.name): MemberSpan(info.offset_data, info.size) for info in tar if info.isfile()}


def _bare(name: str) -> str:
    return name.removeprefix("./")


def _unzipped(fs: Any, path: str, member: str) -> bytes:
    try:
        with fs.open(path, "rb") as opened, zipfile.ZipFile(opened) as archive:
            name = member if member in archive.NameToInfo else f"./{member}"
            return archive.read(name)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise DamagedArchiveError from error


class GzipCheckpoint(NamedTuple):
    """A place in a packed file: what is unpacked and read before it, the unpacker there, what it left."""

    out: int
    taken: int
    unpacker: Any
    rest: bytes


class GzipCheckpoints:
    """The marks of a packed file, in order."""

    def __init__(self) -> None:
        self._marks = [GzipCheckpoint(0, 0, zlib.decompressobj(_GZIP_BITS), b"")]

    def before(self, out: int) -> GzipCheckpoint:
        """Return the last mark that is not behind a place; its unpacker is a copy."""
        mark = self._marks[bisect_right(self._marks, out, key=lambda each: each.out) - 1]
        return mark._replace(unpacker=mark.unpacker.copy())

    def keep(self, mark: GzipCheckpoint) -> None:
        """Add a mark, if it is far enough behind the last one."""
        if mark.out >= self._marks[-1].out + _MARK_BYTES:
            # What was read and not yet unpacked is read again: it would be far larger than the rest.
            taken = mark.taken - len(mark.rest)
            self._marks.append(GzipCheckpoint(mark.out, taken, mark.unpacker.copy(), b""))


class SeekableGzip:
    """A gzip file that is read from any place: from the nearest mark on. Marks are made on the way."""

    def __init__(self, packed: Any, marks: GzipCheckpoints) -> None:
        self.marks = marks
        self._packed = packed
        self._at = marks.before(0)
        self._ready = b""

    def tell(self) -> int:
        """Return the place in what is unpacked."""
        return self._at.out - len(self._ready)

    def seek(self, place: int) -> int:
        """Go to a place."""
        mark = self.marks.before(place)
        if place < self.tell() or mark.out > self._at.out:
            self._at, self._ready = mark, b""
        while self.tell() < place and self.read(min(place - self.tell(), _BLOCK_BYTES)):
            pass
        return self.tell()

    def read(self, size: int) -> bytes:
        """Return `size` bytes, fewer only at the end.

        Raises:
            EOFError: the file ends in the middle.
            zlib.error: it is no gzip file.
        """
        parts = bytearray()
        while len(parts) < size and (self._ready or self._unpack()):
            part = self._ready[: size - len(parts)]
            self._ready = self._ready[len(part) :]
            parts += part
        return bytes(parts)

    def _unpack(self) -> bool:
        """Unpack a little more; return False at the end."""
        out, taken, unpacker, rest = self._at
        if not rest:
            self._packed.seek(taken)
            rest = self._packed.read(_BLOCK_BYTES)
            taken += len(rest)
            if not rest and not unpacker.eof:
                raise EOFError("the packed file ends in the middle")
        if unpacker.eof:
            # Zeros may follow, or another part that is packed by itself.
            rest = rest.lstrip(b"\0")
            if not rest:
                self._at = GzipCheckpoint(out, taken, unpacker, rest)
                return bool(self._packed.read(1))
            unpacker = zlib.decompressobj(_GZIP_BITS)
        self._ready = unpacker.decompress(rest, _BLOCK_BYTES)
        rest = unpacker.unused_data if unpacker.eof else unpacker.unconsumed_tail
        self._at = GzipCheckpoint(out + len(self._ready), taken, unpacker, rest)
        self.marks.keep(self._at)
        return True
