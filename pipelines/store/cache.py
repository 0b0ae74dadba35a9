"""Large files of an object store, kept on this machine by their sha256, so that they can be mapped.

They lie in XDG_CACHE_HOME/echolens (~/.cache/echolens). What is unused for a month goes when another comes.
"""

from __future__ import annotations

import os
import time
import uuid
from contextlib import suppress
from pathlib import Path

from pipelines.errors import StorageError
from pipelines.store.atomic import TEMPORARY
from pipelines.store.io_errors import as_storage_errors
from pipelines.store.root import Root

_KEPT_S = 30 * 24 * 3600


def get_folder() -> Path:
    """Return where the files are kept."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "echolens"


def fetch_cached(root: Root, name: str, sha256: str) -> Path:
    """Return a local copy of a file, fetched if this machine has none.

    Raises:
        FileNotFoundError: there is no such file.
        StorageError: its bytes are others than `sha256` says.
    """
    place = get_folder() / sha256
    if not place.exists():
        _fetch(root, name, sha256, place)
    place.touch()
    return place


def _fetch(root: Root, name: str, sha256: str, place: Path) -> None:
    scratch = place.with_name(f"{TEMPORARY}{uuid.uuid4().hex}")
    with as_storage_errors(str(place.parent)):
        place.parent.mkdir(parents=True, exist_ok=True)
        _forget(place.parent)
    try:
        with as_storage_errors(root.url, "read"):
            root.fs.get_file(root.get_path(name), str(scratch))
        if Root.from_url(str(scratch.parent)).compute_sha256(scratch.name) != sha256:
            raise StorageError(
                f"{root.url}/{name} is not the file that its card names; "
                "take that version away and run the build again"
            )
        scratch.replace(place)
    finally:
        scratch.unlink(missing_ok=True)


def _forget(place: Path) -> None:
    for path in place.iterdir():
        with suppress(OSError):  # another process may have been quicker
            if time.time() - path.stat().st_mtime > _KEPT_S:
                path.unlink()
