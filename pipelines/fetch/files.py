"""Media that no web host is asked for: `file:///folder/name`, `s3://bucket/name`, members of tars and zips.

A member follows its archive, `file:///folder/name.tar#member`, which may be `.tar.gz`, `.tgz` or `.zip`, too.
`tar://` and `zip://` are other words for `file://`. A `*` in an archive's name stands for any letters: of the
archives that have the member, the first in the order of their names is read.
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

_MEMBER_OF = re.compile(r"(.*?(?:\.tar|\.tar\.gz|\.tgz|\.zip))#(.+)", re.IGNORECASE | re.DOTALL)
_OF_THIS_MACHINE = ("file", "tar", "zip")
# Of files that are not there, and of names that none can have. Anything else may be over tomorrow.
_NOT_THERE = frozenset(
    {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL}
)


class MediaLocation(NamedTuple):
    """A file, by its absolute path or its fsspec URL, or a member of an archive."""

    file: str
    member: str = ""

    @property
    def remote(self) -> bool:
        """Whether it lies elsewhere than on this machine."""
        return "://" in self.file

    @property
    def path(self) -> Path | None:
        """The file of this machine that it is; None for a member and for what lies elsewhere."""
        return None if self.member or self.remote else Path(self.file)


def parse_location(url: str) -> MediaLocation | None:
    """Return the place that a URL names, or None for a web address and for what is no URL.

    `..` is refused: a template's path is filled in with words of a list.
    """
    scheme, separator, rest = url.partition("://")
    split = _MEMBER_OF.fullmatch(rest)
    file, member = split.groups() if split else (rest, "")
    if not separator or scheme.lower() in ("http", "https"):
        return None
    if scheme.lower() in _OF_THIS_MACHINE:
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
    return scheme.lower() in ("http", "https") and _MEMBER_OF.fullmatch(rest) is not None


def read(place: MediaLocation, max_bytes: int) -> bytes:
    """Return the bytes of a place.

    Raises:
        UnreadableError: it is not there, not for us, empty or too large.
    """
    check(place, max_bytes)
    with _told():
        if not place.member:
            fs, path = _opened(place.file)
            data: bytes = fs.cat_file(path)
            return data
        file, _ = _found(place)
        return archives.read(file, read_state(file), place.member)


def check(place: MediaLocation, max_bytes: int) -> None:
    """Check that a place can be read.

    Raises:
        UnreadableError: it is not there, not for us, empty or too large.
    """
    with _told():
        size = _found(place)[1] if place.member else _info(place.file)["size"]
    if size > max_bytes:
        raise UnreadableMediaError(make_outcome("invalid", "too_many_bytes"))
    if not size:
        raise UnreadableMediaError(make_outcome("invalid", "empty"))


def find_sibling(place: MediaLocation, suffix: str) -> bytes | None:
    """Return the member of the same sample with another suffix, such as `KEY.json` of `KEY.jpg`."""
    sibling = MediaLocation(place.file, f"{place.member.rpartition('.')[0]}.{suffix}")
    try:
        return read(sibling, max_bytes=2**20)
    except UnreadableMediaError:
        return None


def _opened(file: str) -> tuple[Any, str]:
    try:
        fs, path = fsspec.core.url_to_fs(file)
    except (ValueError, ImportError) as error:
        raise UnreadableMediaError(make_outcome("invalid", "bad_url")) from error
    return fs, path


def _info(file: str) -> dict[str, Any]:
    fs, path = _opened(file)
    info: dict[str, Any] = fs.info(path)
    if info["type"] != "file":
        raise FileNotFoundError(errno.ENOENT, "not a file")
    return info


def read_state(file: str) -> str:
    """Return what changes when a file is written anew."""
    info = _info(file)
    return str(info.get("mtime", info.get("ETag", info["size"])))


def _found(place: MediaLocation) -> tuple[str, int]:
    """Return the archive that has a member, and the member's size."""
    for file in _named(place.file):
        if span := archives.list_members(file, read_state(file)).get(place.member):
            return file, span.size
    raise FileNotFoundError(errno.ENOENT, "no such member")


def _named(file: str) -> list[str]:
    """Return the archives that a name with `*` stands for."""
    if "*" not in file:
        return [file]
    fs, path = _opened(file)
    found = sorted(str(name) for name in fs.glob(path))
    return [str(fs.unstrip_protocol(name)) if "://" in file else name for name in found]


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except UnreadableMediaError:
        raise
    except Exception as error:  # every file system has exceptions of its own for no route and no credentials
        raise UnreadableMediaError(_of_error(error)) from error


def _of_error(error: Exception) -> Outcome:
    if isinstance(error, PermissionError):
        return make_outcome("failed", "no_permission")
    if isinstance(error, DamagedArchiveError):
        return make_outcome("invalid", "truncated")
    if isinstance(error, OSError) and error.errno in _NOT_THERE:
        return make_outcome("dead", "no_such_file")
    if isinstance(error, FileNotFoundError | NotADirectoryError | IsADirectoryError):
        return make_outcome("dead", "no_such_file")  # as file systems of buckets raise them, without a number
    return make_outcome("transient", "timeout" if isinstance(error, TimeoutError) else "unreachable")
