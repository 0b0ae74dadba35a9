"""Members of tars and zips, read without unpacking the whole: an archive's offsets are listed once.

A compressed tar cannot be read from the middle. So while it is listed, the state of the decompressor is saved
every few megabytes, and a member is decompressed from the nearest such checkpoint on.
"""

from __future__ import annotations

import threading
import zipfile
import zlib
from bisect import bisect_right
from functools import lru_cache
from typing import Any, NamedTuple

import fsspec

from pipelines.errors import DamagedArchiveError, UnreadableMediaError
from pipelines.store.untrusted_tar import MAX_MEMBERS, iterate_infos
from schemas.outcome import make_outcome

SUFFIXES = (".tar", ".tar.gz", ".tgz", ".zip")

# Decompressed bytes between checkpoints: 10 ms of work. One is 40 kB, so a tar of 16 GB has 80 MB of them.
_CHECKPOINT_BYTES = 8 << 20
_BLOCK_BYTES = 1 << 18
# zlib's window bits for the gzip format.
_GZIP_BITS = 31
# Media are compressed already; text and silence shrink to a fiftieth. The first bytes are free: a small
# archive does no harm.
_MAX_RATIO = 200
_ANY_BYTES = 2**28
# Of the others, a block of a few bytes unpacks to 900 kB and more at once.
_ZIP_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# Of the list of members at the end of a zip, which Python reads at once and makes objects of, of 15 times its
# size. A member takes some 100 bytes of it.
_MAX_DIRECTORY_BYTES = 2**27
# The most archives whose listing is cached. A shard's rows lie in one foreign tar or two, with four shards in
# flight; VGGSound's mirrors have twenty.
_CACHED_ARCHIVES = 64

_listing = threading.Lock()


class MemberSpan(NamedTuple):
    """Where a member begins in its archive (decompressed, for a compressed tar), and its size in bytes."""

    start: int
    size: int


def is_archive(file: str) -> bool:
    """Return whether a file's name is that of an archive."""
    return file.lower().endswith(SUFFIXES)


def open_tar(file: Any, name: str) -> Any:
    """Return an open tar as it is read from front to back: decompressed, if its name says that it is packed.

    A way back in a packed one costs the decompression of up to 8 MB.
    """
    return SeekableGzip(file, GzipCheckpoints()) if name.lower().endswith((".gz", ".tgz")) else file


def list_members(file: str, state: str) -> dict[str, MemberSpan]:
    """Return the files of an archive by their names, without a leading `./`.

    Args:
        file: a path or an fsspec URL.
        state: its time or ETag; part of the cache's key, so that a rewritten archive is listed again.

    Raises:
        DamagedArchiveError: it cannot be listed to its end.
    """
    return _list_locked(file, state)[0]


def read(file: str, state: str, member: str, max_bytes: int) -> bytes:
    """Return a member's bytes.

    Args:
        file: a path or an fsspec URL.
        state: as for `list_members`.
        member: its name.
        max_bytes: of the member, decompressed.

    Raises:
        KeyError: there is no such member.
        UnreadableMediaError: it is larger.
        DamagedArchiveError: it cannot be decompressed.
    """
    size = _list_locked(file, state)[0][member].size
    if size > max_bytes:
        raise UnreadableMediaError(make_outcome("invalid", "too_many_bytes"))
    # A zip may state less than it unpacks to.
    data = read_start(file, state, member, max_bytes + 1)
    if len(data) > max_bytes:
        raise UnreadableMediaError(make_outcome("invalid", "too_many_bytes"))
    if len(data) < size:
        raise DamagedArchiveError("it ends in the middle of a member")
    return data


def read_start(file: str, state: str, member: str, most_bytes: int) -> bytes:
    """Return the first bytes of a member, as many as there are up to `most_bytes`; see `read`.

    Raises:
        KeyError: there is no such member.
        DamagedArchiveError: it cannot be decompressed.
    """
    spans, checkpoints = _list_locked(file, state)
    start, size = spans[member].start, min(spans[member].size, most_bytes)
    fs, path = fsspec.core.url_to_fs(file)
    if file.lower().endswith(".zip"):
        return _read_zip(fs, path, member, most_bytes)
    if checkpoints is None:
        data: bytes = fs.cat_file(path, start=start, end=start + size)
        return data
    with fs.open(path, "rb") as compressed:
        gzip = SeekableGzip(compressed, checkpoints)
        gzip.seek(start)
        return gzip.read(size)


def _list_locked(file: str, state: str) -> tuple[dict[str, MemberSpan], GzipCheckpoints | None]:
    # One thread lists and the others wait: twenty of them would each read the whole of a compressed tar.
    with _listing:
        return _list(file, state)


@lru_cache(maxsize=_CACHED_ARCHIVES)
def _list(file: str, state: str) -> tuple[dict[str, MemberSpan], GzipCheckpoints | None]:  # noqa: ARG001 - part of the cache's key
    fs, path = fsspec.core.url_to_fs(file)
    try:
        with fs.open(path, "rb") as opened:
            if file.lower().endswith(".zip"):
                return _list_zip(opened, int(fs.size(path) or 0)), None
            if file.lower().endswith(".tar"):
                return _list_tar(opened), None
            gzip = SeekableGzip(opened, GzipCheckpoints())
            return _list_tar(gzip), gzip.checkpoints
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise DamagedArchiveError(f"it cannot be listed ({error})") from error


def _list_zip(opened: Any, packed_bytes: int) -> dict[str, MemberSpan]:
    with zipfile.ZipFile(_DirectoryReader(opened)) as archive:
        infos = [info for info in archive.infolist() if not info.is_dir()]
    if len(infos) > MAX_MEMBERS:
        raise DamagedArchiveError(f"it has more than {MAX_MEMBERS:,} members")
    _check_ratio(sum(info.file_size for info in infos), packed_bytes)
    return {_strip_dot(info.filename): MemberSpan(info.header_offset, info.file_size) for info in infos}


class _DirectoryReader:
    """A zip of which the list of members alone is read."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def read(self, size: int = -1) -> bytes:
        """Return bytes of the list.

        Raises:
            DamagedArchiveError: they are more than it has.
        """
        if size > _MAX_DIRECTORY_BYTES:
            raise DamagedArchiveError(f"its list of members has {size:,} bytes")
        data: bytes = self._file.read(size)
        return data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def _list_tar(opened: Any) -> dict[str, MemberSpan]:
    members: dict[str, MemberSpan] = {}
    for info in iterate_infos(opened):
        if info.isreg() and not info.issparse():
            # The first of a name: its caption is the first, too, and lists of samples reject the others.
            members.setdefault(_strip_dot(info.name), MemberSpan(info.offset_data, info.size))
    return members


def _check_ratio(unpacked_bytes: int, packed_bytes: int) -> None:
    if unpacked_bytes > max(_ANY_BYTES, _MAX_RATIO * packed_bytes):
        raise DamagedArchiveError(f"it unpacks to more than {_MAX_RATIO} times its size")


def _strip_dot(name: str) -> str:
    return name.removeprefix("./")


def _read_zip(fs: Any, path: str, member: str, most_bytes: int) -> bytes:
    try:
        with fs.open(path, "rb") as opened, zipfile.ZipFile(opened) as archive:
            name = member if member in archive.NameToInfo else f"./{member}"
            if archive.getinfo(name).compress_type not in _ZIP_METHODS:
                raise DamagedArchiveError("a member is compressed by a rare method")
            with archive.open(name) as unpacked:
                return unpacked.read(most_bytes)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise DamagedArchiveError(f"a member cannot be read ({error})") from error


class GzipCheckpoint(NamedTuple):
    """The state of a decompressor in the middle of a file.

    Attributes:
        position: decompressed bytes before it.
        read_bytes: compressed bytes read before it.
        decompressor: its state there.
        pending: compressed bytes that are read and not yet decompressed.
    """

    position: int
    read_bytes: int
    decompressor: Any
    pending: bytes


class GzipCheckpoints:
    """The checkpoints of a compressed file, in order."""

    def __init__(self) -> None:
        self._checkpoints = [GzipCheckpoint(0, 0, zlib.decompressobj(_GZIP_BITS), b"")]

    def find_before(self, position: int) -> GzipCheckpoint:
        """Return the last checkpoint that is not behind a position; its decompressor is a copy."""
        after = bisect_right(self._checkpoints, position, key=lambda each: each.position)
        last = self._checkpoints[after - 1]
        return last._replace(decompressor=last.decompressor.copy())

    def add(self, state: GzipCheckpoint) -> None:
        """Save a state, if it is far enough behind the last checkpoint."""
        if state.position >= self._checkpoints[-1].position + _CHECKPOINT_BYTES:
            # Pending bytes are not kept but read again: they are far larger than the rest.
            read_bytes = state.read_bytes - len(state.pending)
            self._checkpoints.append(
                GzipCheckpoint(state.position, read_bytes, state.decompressor.copy(), b"")
            )


class SeekableGzip:
    """A gzip file that can be read from any position; checkpoints are added as it is read."""

    def __init__(self, compressed: Any, checkpoints: GzipCheckpoints) -> None:
        self.checkpoints = checkpoints
        self._compressed = compressed
        self._state = checkpoints.find_before(0)
        self._ready = b""

    def tell(self) -> int:
        """Return the position in the decompressed bytes."""
        return self._state.position - len(self._ready)

    def seek(self, position: int) -> int:
        """Go to a position."""
        nearest = self.checkpoints.find_before(position)
        if position < self.tell() or nearest.position > self._state.position:
            self._state, self._ready = nearest, b""
        while self.tell() < position and self.read(min(position - self.tell(), _BLOCK_BYTES)):
            pass
        return self.tell()

    def read(self, size: int) -> bytes:
        """Return `size` bytes, fewer only at the end.

        Raises:
            EOFError: the file ends in the middle.
            zlib.error: it is no gzip file.
            DamagedArchiveError: it unpacks to far more than it has.
        """
        parts = bytearray()
        while len(parts) < size and (self._ready or self._decompress()):
            part = self._ready[: size - len(parts)]
            self._ready = self._ready[len(part) :]
            parts += part
        return bytes(parts)

    def _decompress(self) -> bool:
        """Decompress one more block; return False at the end."""
        position, read_bytes, decompressor, pending = self._state
        if not pending:
            self._compressed.seek(read_bytes)
            pending = self._compressed.read(_BLOCK_BYTES)
            read_bytes += len(pending)
            if not pending and not decompressor.eof:
                raise EOFError("the packed file ends in the middle")
        if decompressor.eof:
            # Padding of zeros may follow, or another gzip member.
            pending = pending.lstrip(b"\0")
            if not pending:
                self._state = GzipCheckpoint(position, read_bytes, decompressor, pending)
                return bool(self._compressed.read(1))
            decompressor = zlib.decompressobj(_GZIP_BITS)
        _check_ratio(position, read_bytes)
        self._ready = decompressor.decompress(pending, _BLOCK_BYTES)
        pending = decompressor.unused_data if decompressor.eof else decompressor.unconsumed_tail
        self._state = GzipCheckpoint(position + len(self._ready), read_bytes, decompressor, pending)
        self.checkpoints.add(self._state)
        return True
