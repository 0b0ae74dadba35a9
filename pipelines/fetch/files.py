"""Media that no web host serves: `file:///folder/name`, `s3://bucket/name`, members of tars and zips.

A member follows its archive, `file:///folder/name.tar#member`, which may be `.tar.gz`, `.tgz` or `.zip`, too.
`tar://` and `zip://` are aliases of `file://`. A `*` in an archive's name matches any letters: of the
archives that have the member, the first by name is read. `NAME.parquet#parquet/COLUMN/ROW` is a cell of a
table: the bytes in it.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

import fsspec

from pipelines.errors import DamagedArchiveError, DamagedTableError, UnreadableMediaError
from pipelines.fetch import archives, table_cells
from schemas.outcome import Outcome, make_outcome

_ARCHIVE_MEMBER = re.compile(r"(.*?(?:\.tar|\.tar\.gz|\.tgz|\.zip))#(.+)", re.IGNORECASE | re.DOTALL)
# huggingface_hub: CACHE/datasets--OWNER--NAME/snapshots/COMMIT links to CACHE/datasets--OWNER--NAME/blobs.
_SNAPSHOT = re.compile(r"(.*/(?:datasets|models|spaces)--[^/]+)/snapshots/[0-9a-f]{40}(?:/|$)", re.DOTALL)
_TABLE_CELL = re.compile(r"(.+)#parquet/([^/#]+)/(\d{1,15})", re.DOTALL)
_LOCAL_SCHEMES = ("file", "tar", "zip")
# Missing files, and names that no file can have. Any other error may be over tomorrow.
_MISSING = frozenset(
    {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL}
)


class MediaLocation(NamedTuple):
    """A file, by its absolute path or its fsspec URL, a member of an archive, or a cell of a table.

    Attributes:
        file: path or URL.
        member: of the archive; empty for a file.
        folder: of this machine, below which the file must lie with all links followed; empty for anywhere.
        column: of a Parquet file, whose cells are media; empty for another file.
        row: of the cell, from 0.
    """

    file: str
    member: str = ""
    folder: str = ""
    column: str = ""
    row: int = 0

    @property
    def remote(self) -> bool:
        """Whether it is not on this machine."""
        return "://" in self.file

    @property
    def path(self) -> Path | None:
        """The path of a file of this machine; None for a member, a cell and a remote file."""
        return None if self.member or self.column or self.remote else Path(self.file)


def parse_location(url: str, folder: str = "") -> MediaLocation | None:
    """Return the location that a URL names, or None for a web address and for what is no URL.

    `..` is refused: a template's path is filled in from a list.

    Args:
        url: of the list or its template.
        folder: of this machine, that no link may lead out of; empty for anywhere.
    """
    scheme, separator, rest = url.partition("://")
    cell, column, row = _TABLE_CELL.fullmatch(rest), "", 0
    if cell:
        rest, column, row = cell[1], unquote(cell[2]), int(cell[3])
    split = None if cell else _ARCHIVE_MEMBER.fullmatch(rest)
    file, member = split.groups() if split else (rest, "")
    if not separator or scheme.lower() in ("http", "https"):
        return None
    if scheme.lower() in _LOCAL_SCHEMES:
        host, slash, path = file.partition("/")
        if host not in ("", "localhost") or not slash:
            return None
        file, member = f"/{_unescape(path)}", _unescape(member)
    elif "::" in file:
        return None  # fsspec would open another place behind it
    else:
        file = f"{scheme}://{file}"
    if ".." in file.split("/") or "\0" in file:
        return None
    return MediaLocation(file, member, folder, column, row)


def _unescape(text: str) -> str:
    """Return an escaped name as `os.fsdecode` has it, which need not be UTF-8."""
    return unquote(text, errors="surrogateescape")


def is_in_web_archive(url: str) -> bool:
    """Return whether a URL names a member of an archive on the web."""
    scheme, _, rest = url.partition("://")
    return scheme.lower() in ("http", "https") and _ARCHIVE_MEMBER.fullmatch(rest) is not None


def read(location: MediaLocation, max_bytes: int) -> bytes:
    """Return the bytes of a location.

    Raises:
        UnreadableMediaError: it is missing, not permitted, empty or too large.
    """
    check(location, max_bytes)
    with _as_unreadable():
        if location.column:
            return table_cells.read(
                location.file, read_state(location.file), location.column, location.row, max_bytes
            )
        if not location.member and not location.remote:
            return _read_local(location.file, max_bytes)
        if not location.member:
            fs, path = _open_filesystem(location.file)
            data: bytes = fs.cat_file(path)
            return data
        file, _ = _find_member(location)
        return archives.read(file, read_state(file), location.member, max_bytes)


def check(location: MediaLocation, max_bytes: int) -> None:
    """Check that a location can be read.

    Raises:
        UnreadableMediaError: it is missing, not permitted, empty or too large.
    """
    with _as_unreadable():
        _check_folder(location)
        if location.column:
            return  # its size is known when it is read
        size = _find_member(location)[1] if location.member else _stat(location.file)["size"]
    if size > max_bytes:
        raise UnreadableMediaError(make_outcome("invalid", "too_many_bytes"))
    if not size:
        raise UnreadableMediaError(make_outcome("invalid", "empty"))


def find_sibling(location: MediaLocation, suffix: str) -> bytes | None:
    """Return the member of the same sample with another suffix, such as `KEY.json` of `KEY.jpg`."""
    sibling = location._replace(member=f"{location.member.rpartition('.')[0]}.{suffix}")
    try:
        return read(sibling, max_bytes=2**20)
    except UnreadableMediaError:
        return None


def is_below(file: str, folder: str) -> bool:
    """Return whether a file of this machine lies below a folder, with all links followed.

    A snapshot in the cache of Hugging Face's hub has links to the files beside it, in `blobs`.
    """
    real, target = os.path.realpath(folder), os.path.realpath(file)
    repository = _SNAPSHOT.match(real)
    blobs = [f"{repository.group(1)}/blobs/"] if repository else []
    return target.startswith((real.rstrip("/") + "/", *blobs))


def _check_folder(location: MediaLocation) -> None:
    if location.folder and not location.remote and not is_below(location.file, location.folder):
        raise UnreadableMediaError(make_outcome("blocked", "link_out"))


def read_regular(file: str, max_bytes: int) -> bytes:
    """Return up to `max_bytes + 1` bytes from the start of a file of this machine.

    A FIFO would wait for a writer for ever, and a device has no end.

    Raises:
        FileNotFoundError: it is no regular file.
        OSError: it cannot be read.
    """
    number = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(number, "rb") as opened:
        if not stat.S_ISREG(os.fstat(number).st_mode):
            raise FileNotFoundError(errno.ENOENT, "not a regular file")
        return opened.read(max_bytes + 1)


def _read_local(file: str, max_bytes: int) -> bytes:
    if len(data := read_regular(file, max_bytes)) > max_bytes:
        raise UnreadableMediaError(make_outcome("invalid", "too_many_bytes"))
    return data


def _open_filesystem(file: str) -> tuple[Any, str]:
    try:
        fs, path = fsspec.core.url_to_fs(file)
    except (ValueError, ImportError) as error:
        raise UnreadableMediaError(make_outcome("invalid", "bad_url")) from error
    return fs, path


def _stat(file: str) -> dict[str, Any]:
    fs, path = _open_filesystem(file)
    info: dict[str, Any] = fs.info(path)
    # A link is told from what it leads to: that may be a device.
    if info["type"] != "file" and not (info.get("islink") and Path(path).is_file()):
        raise FileNotFoundError(errno.ENOENT, "not a file")
    return info


def read_state(file: str) -> str:
    """Return the modification time, ETag or size of a file: what changes when it is rewritten."""
    info = _stat(file)
    return str(info.get("mtime", info.get("ETag", info["size"])))


def _find_member(location: MediaLocation) -> tuple[str, int]:
    """Return the archive that has a member, and the member's size."""
    for file in _expand_glob(location.file):
        _check_folder(location._replace(file=file))
        if span := archives.list_members(file, read_state(file)).get(location.member):
            return file, span.size
    raise FileNotFoundError(errno.ENOENT, "no such member")


def _expand_glob(file: str) -> list[str]:
    """Return the archives that a name with `*` matches."""
    if "*" not in file:
        return [file]
    fs, path = _open_filesystem(file)
    found = sorted(str(name) for name in fs.glob(path))
    return [str(fs.unstrip_protocol(name)) if "://" in file else name for name in found]


@contextmanager
def _as_unreadable() -> Iterator[None]:
    """Turn any error of a file system into an `UnreadableMediaError`."""
    try:
        yield
    except UnreadableMediaError:
        raise
    except Exception as error:  # every file system has its own exceptions for no route and no credentials
        raise UnreadableMediaError(_classify_error(error)) from error


def _classify_error(error: Exception) -> Outcome:
    if isinstance(error, PermissionError):
        return make_outcome("failed", "no_permission")
    if isinstance(error, DamagedArchiveError | DamagedTableError):
        return make_outcome("invalid", "truncated")
    if isinstance(error, OSError) and error.errno in _MISSING:
        return make_outcome("dead", "no_such_file")
    if isinstance(error, FileNotFoundError | NotADirectoryError | IsADirectoryError):
        return make_outcome("dead", "no_such_file")  # as file systems of buckets raise them, without an errno
    return make_outcome("transient", "timeout" if isinstance(error, TimeoutError) else "unreachable")
