"""Media that no web host is asked for: `file:///folder/name`, `s3://bucket/name`, and members of tars.

A member follows its tar: `file:///folder/name.tar#member`.
"""

from __future__ import annotations

import errno
import tarfile
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

import fsspec

from schemas.outcome import Outcome, outcome


class Place(NamedTuple):
    """A file, by its absolute path or its fsspec URL, or a member of a tar."""

    file: str
    member: str = ""

    @property
    def path(self) -> Path | None:
        """The file of this machine that it is; None for a member and for what lies elsewhere."""
        return None if self.member or "://" in self.file else Path(self.file)


class UnreadableError(Exception):
    """There is no reading this file; `outcome` says why."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(str(outcome))
        self.outcome = outcome


def place_of(url: str) -> Place | None:
    """Return the place that a URL names, or None for a web address and for what is no URL.

    `..` is refused: a template's path is filled in with words of a list.
    """
    scheme, separator, rest = url.partition("://")
    tar, _, member = rest.partition(".tar#")
    file = f"{tar}.tar" if member else rest
    if not separator or scheme.lower() in ("http", "https"):
        return None
    if scheme.lower() == "file":
        host, slash, path = file.partition("/")
        if host not in ("", "localhost") or not slash:
            return None
        file, member = f"/{unquote(path)}", unquote(member)
    else:
        file = f"{scheme}://{file}"
    return None if ".." in file.split("/") or "\0" in file else Place(file, member)


def read(place: Place, max_bytes: int) -> bytes:
    """Return the bytes of a place.

    Raises:
        UnreadableError: it is not there, not for us, empty or too large.
    """
    start, size = check(place, max_bytes)
    fs, path = _opened(place.file)
    try:
        data: bytes = fs.cat_file(path, start=start, end=start + size)
    except OSError as error:
        raise UnreadableError(_of_error(error)) from error
    return data


def check(place: Place, max_bytes: int) -> tuple[int, int]:
    """Return where the bytes of a place begin in its file, and how many there are.

    Raises:
        UnreadableError: it is not there, not for us, empty or too large.
    """
    try:
        start, size = _span(place)
    except (OSError, tarfile.TarError) as error:
        raise UnreadableError(_of_error(error)) from error
    if size > max_bytes:
        raise UnreadableError(outcome("invalid", "too_many_bytes"))
    if not size:
        raise UnreadableError(outcome("invalid", "empty"))
    return start, size


def beside(place: Place, suffix: str) -> bytes | None:
    """Return the member of the same sample with another suffix, such as `KEY.json` of `KEY.jpg`."""
    sibling = Place(place.file, f"{place.member.rpartition('.')[0]}.{suffix}")
    try:
        return read(sibling, max_bytes=2**20)
    except UnreadableError:
        return None


def _opened(file: str) -> tuple[Any, str]:
    try:
        fs, path = fsspec.core.url_to_fs(file)
    except (ValueError, ImportError) as error:
        raise UnreadableError(outcome("invalid", "bad_url")) from error
    return fs, path


def _span(place: Place) -> tuple[int, int]:
    fs, path = _opened(place.file)
    info = fs.info(path)
    if info["type"] != "file":
        raise FileNotFoundError(errno.ENOENT, "not a file")
    if not place.member:
        return 0, int(info["size"])
    # A tar that was written anew is another tar.
    members = _members(place.file, str(info.get("mtime", info.get("ETag", info["size"]))))
    if place.member not in members:
        raise FileNotFoundError(errno.ENOENT, "no such member")
    return members[place.member]


# A shard's rows lie in one foreign tar or two, and four shards are under way at once.
@lru_cache(maxsize=16)
def _members(file: str, state: str) -> dict[str, tuple[int, int]]:  # noqa: ARG001 - part of the cache's key
    fs, path = _opened(file)
    with fs.open(path, "rb") as opened, tarfile.open(fileobj=opened, mode="r:") as tar:
        return {info.name: (info.offset_data, info.size) for info in tar if info.isfile()}


def _of_error(error: Exception) -> Outcome:
    if isinstance(error, PermissionError):
        return outcome("failed", "no_permission")
    if isinstance(error, tarfile.TarError):
        return outcome("invalid", "truncated")
    return outcome("dead", "no_such_file")
