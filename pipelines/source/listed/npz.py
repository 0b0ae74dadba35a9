"""Arrays in npz files, which come from anybody: never objects, and bounded before they are in memory."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any

import numpy as np

from pipelines.errors import ListError
from pipelines.source.list_files import as_list_errors, open_place

# Of one array. DataComp's of 10,000 rows have 15 MB; a million rows of 512 dimensions in float16 have 1 GiB.
MAX_ARRAY_BYTES = 2**30
MAX_DIMS = 65_536
# Of the directory of an npz, of which an array takes 50 to 100 bytes: zipfile reads all of it.
_MAX_DIRECTORY_BYTES = 2**20
# The record at the end of a zip, and the longest comment behind it.
_END_BYTES, _MAX_COMMENT_BYTES = 22, 65_535
_END, _ZIP64 = b"PK\x05\x06", b"PK\x06\x07"
_ZIP64_BYTES = 20
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_CHUNK_BYTES = 2**22


@dataclass(frozen=True)
class ArrayShape:
    """What the header of an array says."""

    rows: int
    dims: int
    dtype: np.dtype[Any]


def read_shape(url: str, name: str) -> ArrayShape:
    """Return the shape of an array, without its numbers.

    Args:
        url: of the npz.
        name: of the array.

    Raises:
        ListError: the file is missing or damaged, has no such array, or it is none of vectors.
    """
    with _open_array(url, name) as (shape, _):
        return shape


def read_matrix(url: str, name: str) -> np.ndarray:
    """Return an array of vectors, [N, D], of the type that it has in the file.

    Args:
        url: of the npz.
        name: of the array.

    Raises:
        ListError: as `read_shape`, or the array ends before its end.
    """
    with _open_array(url, name) as (shape, file):
        matrix_ND = np.empty((shape.rows, shape.dims), shape.dtype)
        data, at = matrix_ND.reshape(-1).view(np.uint8).data, 0
        while at < len(data):
            chunk = file.read(min(_CHUNK_BYTES, len(data) - at))
            if not chunk:
                raise _make_error(url, f"array {name!r} ends in the middle")
            data[at : at + len(chunk)] = chunk
            at += len(chunk)
        # At its end zipfile compares the checksum.
        if file.read(1):
            raise _make_error(url, f"array {name!r} is longer than its header says")
        return matrix_ND


@contextmanager
def _open_array(url: str, name: str) -> Iterator[tuple[ArrayShape, IO[bytes]]]:
    with as_list_errors(url):
        try:
            fs, path = open_place(url)
            with fs.open(path, "rb") as raw:
                _check_directory(url, raw)
                with zipfile.ZipFile(raw) as archive, _open_member(archive, url, name) as file:
                    yield _read_header(url, name, file), file
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
            raise _make_error(url, str(error)) from error


def _check_directory(url: str, raw: IO[bytes]) -> None:
    """Refuse an npz whose directory would take much memory."""
    size = raw.seek(0, 2)
    raw.seek(max(0, size - _END_BYTES - _MAX_COMMENT_BYTES - _ZIP64_BYTES))
    tail = raw.read()
    at = tail.rfind(_END)
    if at < 0 or len(tail) < at + _END_BYTES:
        raise _make_error(url, "it has no end")
    if tail[max(0, at - _ZIP64_BYTES) :].startswith(_ZIP64):
        raise ListError(f"{url} is an npz of over 4 GiB; split it and its list into smaller files")
    if int.from_bytes(tail[at + 12 : at + 16], "little") > _MAX_DIRECTORY_BYTES:
        raise ListError(f"{url} has too many arrays; give an npz that has the list's vectors alone")
    raw.seek(0)


def _open_member(archive: zipfile.ZipFile, url: str, name: str) -> IO[bytes]:
    names = [each.removesuffix(".npy") for each in archive.namelist()]
    if name not in names:
        known = ", ".join(names[:12]) or "none"
        raise ListError(f"{url} has no array {name!r}; name one that it has: {known}")
    info = archive.infolist()[names.index(name)]
    if info.compress_type not in _METHODS:
        raise _make_error(url, f"array {name!r} is compressed as numpy never does")
    return archive.open(info)


def _read_header(url: str, name: str, file: IO[bytes]) -> ArrayShape:
    try:
        # Later versions have headers of any length, and numpy writes them for structures alone.
        if (version := np.lib.format.read_magic(file)) != (1, 0):
            raise _make_error(url, f"the header of array {name!r} is of version {version}")
        shape, is_transposed, dtype = np.lib.format.read_array_header_1_0(file)
    except ValueError as error:
        problem = " ".join(str(error).split())[:200]
        raise _make_error(url, f"array {name!r} has no header: {problem}") from error
    if dtype.kind != "f" or dtype.itemsize > 8 or len(shape) != 2 or (is_transposed and min(shape) > 1):
        raise ListError(
            f"{url}: array {name!r} is {shape} of {dtype}; name one of a vector a row, of float16 to float64"
        )
    rows, dims = shape
    if not 1 <= dims <= MAX_DIMS or rows < 0 or rows * dims * dtype.itemsize > MAX_ARRAY_BYTES:
        raise ListError(
            f"{url}: array {name!r} is {rows:,} vectors of {dims:,} numbers, and an array may have "
            f"{MAX_DIMS:,} numbers a vector and {MAX_ARRAY_BYTES >> 20:,} MiB; split the list"
        )
    return ArrayShape(rows, dims, dtype)


def _make_error(url: str, problem: str) -> ListError:
    return ListError(f"{url} is no npz that can be read ({problem}); download it again")
