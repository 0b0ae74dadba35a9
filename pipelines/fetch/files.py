"""Media that no web host serves: `file:///folder/name`, `s3://bucket/name`, members of tars and zips.

A member follows its archive, `file:///folder/name.tar#member`, which may be `.tar.gz`, `.tgz` or `.zip`, too.
`tar://` and `zip://` are aliases of `file://`. A `*` in an archive's name matches any letters: of the
archives that have the member, the first by name is read.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

import fsspec

from pipelines.errors import DamagedArchiveError, UnreadableMediaError
from pipelines.fetch import archives
from schemas.outcome import Outcome, make_outcome

_ARCHIVE_MEMBER = re.compile(r"(.*?(?:\.tar|\.tar\.gz|\.tgz|\.zip))#(.+)", re.IGNORECASE | re.DOTALL)
_LOCAL_SCHEMES = ("file", "tar", "zip")
# Missing files, and names that no file can have. Any other error may be over tomorrow.
_MISSING = frozenset(
    {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL}
)


class MediaLocation(NamedTuple):
    """A file, by its absolute path or its fsspec URL, or a member of an archive."""

    file: str
    member: str = ""

    @property
    def remote(self) -> bool:
        """Whether it is not on this machine."""
        return "://" in self.file

    @property
    def path(self) -> Path | None:
        """The path of a file of this machine; None for a member and for a remote file."""
        return None if self.member or self.remote else Path(self.file)


def parse_location(url: str) -> MediaLocation | None:
    """Return the location that a URL names, or None for a web address and for what is no URL.

    `..` is refused: a template's path is filled in from a list.
    """
    scheme, separator, rest = url.partition("://")
    split = _ARCHIVE_MEMBER.fullmatch(rest)
    file, member = split.groups() if split else (rest, "")
    if not separator or scheme.lower() in ("http", "https"):
        return None
    if scheme.lower() in _LOCAL_SCHEMES:
        host, slash, path = file.partition("/")
        if host not in ("", "localhost") or not slash:
            return None
        file, member = f"/{unquote(path)}", unquote(member)
    else:
        file = f"{scheme}://{file}"
    return None if ".." in file.split("/") or "\0" in file else MediaLocation(file, member)


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
        if not location.member:
            fs, path = _open_filesystem(location.file)
            data: bytes = fs.cat_file(path)
            return data
        file, _ = _find_member(location)
        return archives.read(file, read_state(file), location.member)


def check(location: MediaLocation, max_bytes: int) -> None:
    """Check that a location can be read.

    Raises:
        UnreadableMediaError: it is missing, not permitted, empty or too large.
    """
    with _as_unreadable():
        size = _find_member(location)[1] if location.member else _stat(location.file)["size"]
    if size > max_bytes:
        raise UnreadableMediaError(make_outcome("invalid", "too_many_bytes"))
    if not size:
        raise UnreadableMediaError(make_outcome("invalid", "empty"))


def find_sibling(location: MediaLocation, suffix: str) -> bytes | None:
    """Return the member of the same sample with another suffix, such as `KEY.json` of `KEY.jpg`."""
    sibling = MediaLocation(location.file, f"{location.member.rpartition('.')[0]}.{suffix}")
    try:
        return read(sibling, max_bytes=2**20)
    except UnreadableMediaError:
        return None


def _open_filesystem(file: str) -> tuple[Any, str]:
    try:
        fs, path = fsspec.core.url_to_fs(file)
    except (ValueError, ImportError) as error:
        raise UnreadableMediaError(make_outcome("invalid", "bad_url")) from error
    return fs, path


def _stat(file: str) -> dict[str, Any]:
    fs, path = _open_filesystem(file)
    info: dict[str, Any] = fs.info(path)
    if info["type"] != "file":
        raise FileNotFoundError(errno.ENOENT, "not a file")
    return info


def read_state(file: str) -> str:
    """Return the modification time, ETag or size of a file: what changes when it is rewritten."""
    info = _stat(file)
    return str(info.get("mtime", info.get("ETag", info["size"])))


def _find_member(location: MediaLocation) -> tuple[str, int]:
    """Return the archive that has a member, and the member's size."""
    for file in _expand_glob(location.file):
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
    if isinstance(error, DamagedArchiveError):
        return make_outcome("invalid", "truncated")
    if isinstance(error, OSError) and error.errno in _MISSING:
        return make_outcome("dead", "no_such_file")
    if isinstance(error, FileNotFoundError | NotADirectoryError | IsADirectoryError):
        return make_outcome("dead", "no_such_file")  # as file systems of buckets raise them, without an errno
    return make_outcome("transient", "timeout" if isinstance(error, TimeoutError) else "unreachable")
