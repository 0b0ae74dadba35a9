"""Local cache of large files of an object store, named by their sha256, so that they can be memory-mapped.

The cache is XDG_CACHE_HOME/echolens (~/.cache/echolens). Adding a file evicts those unused for 30 days.
"""

from __future__ import annotations

import os
import re
import time
import uuid
from contextlib import suppress
from pathlib import Path

from pipelines.errors import StorageError
from pipelines.store.atomic import TEMPORARY
from pipelines.store.io_errors import as_storage_errors
from pipelines.store.library_files import download
from pipelines.store.root import Root

_TTL_S = 30 * 24 * 3600


def get_folder() -> Path:
    """Return the folder of the cache."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "echolens"


def fetch_cached(root: Root, name: str, sha256: str) -> Path:
    """Return the path of a local copy of a file; download it if there is none.

    Raises:
        FileNotFoundError: there is no such file.
        StorageError: its bytes do not have the sha256.
    """
    if not re.fullmatch(r"[0-9a-f]{64}", sha256):
        raise StorageError(
            f"the card of {root.url}/{name} says {sha256[:80]!r} for its sha256; take that version away and "
            "run the build again"
        )
    target = get_folder() / sha256
    if not target.exists():
        _fetch(root, name, sha256, target)
    target.touch()
    return target


def _fetch(root: Root, name: str, sha256: str, target: Path) -> None:
    scratch = target.with_name(f"{TEMPORARY}{uuid.uuid4().hex}")
    with as_storage_errors(str(target.parent)):
        target.parent.mkdir(parents=True, exist_ok=True)
        _evict(target.parent)
    try:
        download(root, name, scratch)
        if Root.from_url(str(scratch.parent)).compute_sha256(scratch.name) != sha256:
            raise StorageError(
                f"{root.url}/{name} is not the file that its card names; "
                "take that version away and run the build again"
            )
        scratch.replace(target)
    finally:
        scratch.unlink(missing_ok=True)


def _evict(target: Path) -> None:
    for path in target.iterdir():
        with suppress(OSError):  # another process may have removed it
            if time.time() - path.stat().st_mtime > _TTL_S:
                path.unlink()
