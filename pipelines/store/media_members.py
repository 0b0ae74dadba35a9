"""Streams chosen members of a shard's media tar through webdataset; the others are skipped unread.

webdataset reads a tar as a stream, from its first byte to its last. What it is given here is a tar that holds
the wanted members alone: their bytes are copied from the shard's tar, and the file seeks past all others.
"""

from __future__ import annotations

import tarfile
from collections.abc import Generator, Iterator, Sequence
from typing import BinaryIO

from pipelines.errors import DamagedArchiveError
from pipelines.store.io_errors import as_storage_errors
from pipelines.store.root import Root
from pipelines.store.shards import Shard, make_damage_error
from pipelines.store.tar import iterate_headers

_KEY_DIGITS = 18  # int64 has no more
_END = bytes(1024)
# Read from an object store in one request; a task has as many tars open as lanes.
_REQUEST_BYTES = 4 * 2**20


def iterate_members(
    root: Root, shard: Shard, keys: Sequence[int], members: Sequence[str]
) -> Generator[dict[str, bytes], None, None]:
    """Yield the members of each key: name of a member -> its bytes.

    Args:
        root: of the dataset.
        shard: whose media.
        keys: of samples that the shard's table promises, ascending.
        members: of a sample, such as `jpg`, or `0.jpg` and `flac`.

    Raises:
        StorageError: the tar is missing or damaged, or lacks one of the members.
    """
    from webdataset.tariterators import group_by_keys, tar_file_expander

    wanted = frozenset(members)
    with _open_tar(root, shard) as file:
        stream = _ChunkStream(_copy_members(root, shard, file, keys, wanted))
        samples = group_by_keys(tar_file_expander([{"url": shard.name, "stream": stream}]), lcase=False)
        for key in keys:
            try:
                sample = next(samples, None)
            except (tarfile.TarError, ValueError) as error:
                stream.raise_error()
                raise make_damage_error(root, shard, f"it cannot be read ({error.args[0]})") from error
            stream.raise_error()
            if sample is None or int(sample["__key__"]) != key:
                raise make_damage_error(root, shard, f"it lacks the sample {key} of its table")
            if missing := sorted(wanted - sample.keys()):
                raise make_damage_error(root, shard, f"its sample {key} lacks {' and '.join(missing)}")
            yield {member: sample[member] for member in members}


def _open_tar(root: Root, shard: Shard) -> BinaryIO:
    try:
        return root.open(f"media/{shard.name}.tar", _REQUEST_BYTES)
    except FileNotFoundError as error:
        raise make_damage_error(root, shard, "it is missing") from error


def _copy_members(
    root: Root, shard: Shard, file: BinaryIO, keys: Sequence[int], members: frozenset[str]
) -> Iterator[bytes]:
    """Yield the header and the bytes of each wanted member, then the end of a tar."""
    remaining = iter(keys)
    key: int | None = next(remaining, None)
    try:
        with as_storage_errors(root.url, "read"):
            for name, header, size in iterate_headers(file):
                found, member = _parse_name(name)
                while key is not None and found > key:
                    key = next(remaining, None)
                if key is None:
                    break
                if found == key and member in members:
                    yield header + _read_data(file, name, size)
    except DamagedArchiveError as error:
        raise make_damage_error(root, shard, str(error)) from error
    except FileNotFoundError as error:
        raise make_damage_error(root, shard, "it was removed while it was read") from error
    yield _END


def _parse_name(name: str) -> tuple[int, str]:
    key, _, member = name.partition(".")
    if not key.isdecimal() or len(key) > _KEY_DIGITS:
        raise DamagedArchiveError(f"its member {name} has no key")
    return int(key), member


def _read_data(file: BinaryIO, name: str, size: int) -> bytes:
    if len(data := file.read(size)) < size:
        raise DamagedArchiveError(f"it ends within {name}")
    return data


class _ChunkStream:
    """A file whose bytes are those of chunks, one after the other.

    An error ends the file and is raised by `raise_error`: passed through webdataset, its sentence would have
    the names of objects appended.
    """

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._pending = memoryview(b"")
        self._error: Exception | None = None

    def read(self, size: int) -> bytes:
        """Return up to so many bytes; none at the end."""
        if not self._pending and not self._error:
            try:
                self._pending = memoryview(next(self._chunks, b""))
            except Exception as error:
                self._error = error
        data, self._pending = bytes(self._pending[:size]), self._pending[size:]
        return data

    def raise_error(self) -> None:
        """Raise the error that ended the file, if one did."""
        if self._error:
            raise self._error
