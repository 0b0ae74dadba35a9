"""The state of a list's files: one that changes while it is read is noticed, and what was read has a hash."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines.errors import EcholensError, ListError
from pipelines.source.list_files import as_list_errors, open_place
from pipelines.source.listing import ListSource

# Stores say one of these of an object, which changes with its bytes.
_VERSIONS = ("ETag", "etag", "LastModified", "last_modified", "mtime")


def read_states(source: ListSource) -> Mapping[str, str]:
    """Return the state of each file of a list, which another content changes.

    A list of a web server has none: it is read in one answer. What cannot be looked at has an empty one; why
    is said by what opens it.
    """
    try:
        places = source.list_files()
    except EcholensError:
        return {}
    return {place: _read_state(place) for place in places if not _is_web(place)}


def check_states(source: ListSource, before: Mapping[str, str]) -> None:
    """Refuse a list that is no longer as it was before it was read.

    Raises:
        ListError: a file was changed, removed or added.
    """
    after = read_states(source)
    if changed := sorted(place for place in {*before, *after} if before.get(place) != after.get(place)):
        raise ListError(
            f"list {source.list} was changed while it was read ({changed[0]}); begin again when it is whole"
        )


def hash_list(places: Sequence[str]) -> str | None:
    """Return the sha256 of a list of this machine, in hex: as `sha256sum` says it of one file.

    Of several files it is that of their hashes and names, a line each. None for a list elsewhere.
    """
    paths = [_find_local(place) for place in places]
    if not paths or None in paths:
        return None
    hashes = []
    for path in filter(None, paths):
        # A kind of somebody's own may call anything a list.
        if not path.is_file():
            return None
        with path.open("rb") as file:
            hashes.append((hashlib.file_digest(file, "sha256").hexdigest(), path.name))
    if len(hashes) == 1:
        return hashes[0][0]
    lines = "".join(f"{digest}  {name}\n" for digest, name in hashes)
    return hashlib.sha256(lines.encode(errors="surrogateescape")).hexdigest()


def _is_web(place: str) -> bool:
    return place.lower().startswith(("http://", "https://"))


def _find_local(place: str) -> Path | None:
    if _is_web(place):
        return None
    with as_list_errors(place):
        fs, path = open_place(place)
    return Path(path) if "file" in fs.protocol else None


def _read_state(place: str) -> str:
    try:
        with as_list_errors(place):
            fs, path = open_place(place)
            if "file" in fs.protocol:
                found = Path(path).stat()
                return f"{found.st_ino} {found.st_size} {found.st_mtime_ns}"
            # Not what was listed a moment ago.
            fs.invalidate_cache()
            info: dict[str, Any] = fs.info(path)
    except EcholensError:
        return ""
    return " ".join(str(info.get(key)) for key in ("size", *_VERSIONS))
