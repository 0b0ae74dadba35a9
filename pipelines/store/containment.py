"""Local paths of a root: every name stays below it, and what lies there is a regular file or a folder.

A root may come from anybody, and so may its links and the names in its cards, manifests and tables.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import BinaryIO

from pipelines.errors import StorageError
from schemas.names import find_name_problem

_SPECIAL = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


@dataclass(frozen=True, slots=True)
class FolderEntry:
    """What lies directly in a folder.

    Attributes:
        name: of it.
        is_folder: whether it is a folder; else it is a file.
        size: in bytes.
    """

    name: str
    is_folder: bool
    size: int


@lru_cache(maxsize=4096)
def check_name(name: str) -> str:
    """Return a name if it stays below every root; the empty name is the root itself.

    Raises:
        StorageError: it does not.
    """
    if name and (problem := find_name_problem(name)):
        raise StorageError(
            f"{name[:200]!r} is no file below a root, it {problem}; what names it is damaged or made to "
            "harm, so take another copy of this root"
        )
    return name


def locate(base: str, name: str, allowed: Sequence[str] | None = ()) -> str:
    """Return the local path of a name; what lies there is a regular file, a folder, or nothing yet.

    A link is followed into the allowed folders only, and the path is then the one behind it.

    Args:
        base: of the root; it may be reached by links.
        name: below the base.
        allowed: folders, without links, into which links may lead; None for what never follows one.

    Raises:
        StorageError: the name leads out of the root, to a link, or to what is neither file nor folder.
    """
    path, parts = base, check_name(name).split("/") if name else []
    for number, part in enumerate(parts, 1):
        path = f"{path}/{part}"
        mode = _read_mode(path)
        if stat.S_ISLNK(mode):
            path = _follow(path, allowed)
            mode = _read_mode(path)
        if not mode:
            return "/".join((path, *parts[number:]))
        _refuse_special(path, mode)
    return path


def locate_entry(base: str, name: str) -> str:
    """Return the local path of a name for removing or renaming it; it may itself be a link, not a folder's.

    Raises:
        StorageError: the name leads out of the root, or one of its folders is a link.
    """
    folder, _, last = check_name(name).rpartition("/")
    return f"{locate(base, folder, None)}/{last}"


def _read_mode(path: str) -> int:
    """Return the mode of what lies at a path, links not followed; 0 if there is nothing."""
    try:
        return os.lstat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return 0


def _follow(path: str, allowed: Sequence[str] | None) -> str:
    target = os.path.realpath(path)
    if allowed is None:
        raise StorageError(
            f"{path!r} is a link to {target!r}, and what removes, moves or publishes follows none; put the "
            "files in its place"
        )
    if any(target == folder or target.startswith(f"{folder}/") for folder in allowed):
        return target
    raise StorageError(
        f"{path!r} is a link to {target!r}, and below a root no link is followed; put the files in its "
        f"place, or, if you made it, add --allow-links {target.rpartition('/')[0]!r}"
    )


def _refuse_special(path: str, mode: int) -> None:
    if special := _SPECIAL.get(stat.S_IFMT(mode)):
        raise StorageError(
            f"{path!r} is {special}, and a root has regular files and folders only; remove it, or take "
            "another copy of the root"
        )


def open_file(path: str) -> BinaryIO:
    """Open a regular file of a checked path for reading.

    Raises:
        StorageError: it has become a link, or what is no regular file.
    """
    # Opening a FIFO without O_NONBLOCK waits for its writer.
    file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    mode = os.fstat(file.fileno()).st_mode
    if not stat.S_ISREG(mode):
        file.close()
        _refuse_special(path, mode)
        raise IsADirectoryError(21, "Is a directory", path)
    return file


def list_entries(path: str, allowed: Sequence[str] = ()) -> Iterator[FolderEntry]:
    """Yield what lies directly in a folder; left out are links that may not be followed, and special files.

    Args:
        path: of the folder, checked.
        allowed: folders, without links, into which links may lead.

    Raises:
        FileNotFoundError: there is no such folder.
    """
    with os.scandir(path) as entries:
        for entry in entries:
            try:
                found = entry.stat(follow_symlinks=False)
                if stat.S_ISLNK(found.st_mode):
                    found = os.lstat(_follow(entry.path, allowed))
            except (FileNotFoundError, StorageError):
                continue
            if stat.S_ISDIR(found.st_mode) or stat.S_ISREG(found.st_mode):
                yield FolderEntry(entry.name, stat.S_ISDIR(found.st_mode), found.st_size)
