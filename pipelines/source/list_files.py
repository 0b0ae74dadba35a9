"""The files of a list: one, those that a glob matches, or those in a folder, at any URL of fsspec."""

from __future__ import annotations

import os
import re
import socket
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import fsspec

from pipelines.errors import EcholensError, ListError
from pipelines.fetch.addresses import guard, is_inside, unwrap_address
from pipelines.fetch.files import is_below
from pipelines.source.hub_lists import pin_revision

if TYPE_CHECKING:
    import aiohttp

_GLOB = re.compile(r"[*?\[]")
# Of what is read into memory as a whole. The largest files of LAION have 1.8 GB.
_MAX_WHOLE_BYTES = 4 << 30
_PIECE_BYTES = 16 << 20


@contextmanager
def as_list_errors(place: str) -> Iterator[None]:
    """Turn what a file system raises into one sentence about a list.

    Raises:
        ListError: there is an error, and none of ours.
    """
    try:
        yield
    except EcholensError:
        raise
    except FileNotFoundError as error:
        raise ListError(f"list {place} is not there; check the path or URL") from error
    except Exception as error:  # every file system has exceptions of its own
        message = " ".join(str(error).split()) or type(error).__name__
        raise ListError(
            f"list {place} cannot be read ({message}); check the address and the access"
        ) from error


def open_place(place: str) -> tuple[fsspec.AbstractFileSystem, str]:
    """Return the file system of a place, and its path there.

    A server of the web may not lead inside: its redirects reach public addresses, and inside ones only if
    that of the list is one.

    Raises:
        ListError: what lies there on this machine is neither file nor folder; a pipe would be waited for.
    """
    if not place.lower().startswith(("http://", "https://")):
        fs, path = fsspec.core.url_to_fs(place)
        if "file" in fs.protocol:
            _check_regular(path, place)
        return fs, path
    options = {"get_client": _open_inside if _is_inside(place) else _open_outside}
    fs, path = fsspec.core.url_to_fs(place, **options)
    return fs, path


def read_whole(fs: fsspec.AbstractFileSystem, path: str, place: str) -> bytes:
    """Return the bytes of a file; a server may send without end.

    Raises:
        ListError: they are more than fit into memory.
    """
    data = bytearray()
    # 0: one request, and not one for each block.
    with fs.open(path, "rb", block_size=0) if "http" in fs.protocol else fs.open(path, "rb") as file:
        while piece := file.read(_PIECE_BYTES):
            data += piece
            if len(data) > _MAX_WHOLE_BYTES:
                raise ListError(
                    f"list {place} has over {_MAX_WHOLE_BYTES >> 30} GiB, which are read into memory; "
                    "download it, and name the file"
                )
    return bytes(data)


def list_files(
    place: str, is_part: Callable[[str, str], bool]
) -> tuple[fsspec.AbstractFileSystem, list[str]]:
    """Return a file system, and the paths of a list's files in it, in order; a glob or folder may have none.

    Args:
        place: path or URL of a file or a folder, or a glob.
        is_part: whether a path in a folder is of the list, by the path and the folder.

    Raises:
        ListError: the place cannot be read, or has a link that leads out of it.
    """
    with as_list_errors(place):
        fs, path = open_place(pin_revision(place))
        if match := _GLOB.search(path):
            found = [str(each) for each in fs.glob(path)]
            path = path[: match.start()].rpartition("/")[0]
        elif fs.isdir(path):
            found = [each for each in map(str, fs.find(path)) if is_part(each, path)]
        else:
            return fs, [path]
        # A pipe with the name of a list would be waited for.
        found = sorted(each for each in found if fs.isfile(each))
        if "file" in fs.protocol:
            check_links(found, path)
        return fs, found


def check_links(paths: list[str], folder: str) -> None:
    """Refuse a link that leads out of a folder of this machine, which may come from anybody.

    Raises:
        ListError: there is one.
    """
    for path in paths:
        if not is_below(path, folder):
            raise ListError(
                f"{path} is a link that leads out of its list's folder; put the file itself there, or name it"
            )


def _check_regular(path: str, place: str) -> None:
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116 - a Path of a path with NUL raises elsewhere
    except (OSError, ValueError):
        return
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise ListError(f"list {place} is no regular file; give the file itself")


def _is_inside(place: str) -> bool:
    """Return whether the person has named a host of an inside network."""
    try:
        found = socket.getaddrinfo(urlsplit(place).hostname, None, type=socket.SOCK_STREAM)
    except (OSError, ValueError):
        return False
    return any(is_inside(unwrap_address(str(info[4][0]).partition("%")[0])) for info in found)


async def _open_inside(**options: Any) -> aiohttp.ClientSession:
    return _make_session(inside=True, options=options)


async def _open_outside(**options: Any) -> aiohttp.ClientSession:
    return _make_session(inside=False, options=options)


def _make_session(*, inside: bool, options: dict[str, Any]) -> aiohttp.ClientSession:
    import aiohttp

    connector = aiohttp.TCPConnector(socket_factory=guard(inside=inside, public=True))
    return aiohttp.ClientSession(connector=connector, **options)
