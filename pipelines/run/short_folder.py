"""A private folder whose path is short enough for Unix sockets, which take 107 bytes."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from pipelines.errors import ConfigError

# What mkdtemp adds to its prefix, and the slash before it.
_MADE_UP_BYTES = 9


def make_short_folder(prefix: str, max_bytes: int) -> Path:
    """Return a fresh folder that only this user may enter: in TMPDIR if that is short enough, else in /tmp.

    Args:
        prefix: of its name.
        max_bytes: of its path.

    Raises:
        ConfigError: no folder for temporary files is short enough and can be written.
    """
    preferred = os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp"  # noqa: S108 - see below
    for parent in (preferred, "/tmp", "/var/tmp"):  # noqa: S108 - mkdtemp makes a private one there
        if len(os.fsencode(parent)) + _MADE_UP_BYTES + len(prefix) > max_bytes:
            continue
        with suppress(OSError):
            return Path(tempfile.mkdtemp(prefix=prefix, dir=parent)).resolve()
    if len(os.fsencode(preferred)) + _MADE_UP_BYTES + len(prefix) > max_bytes:
        fault = f"has a path of {len(os.fsencode(preferred))} bytes, too long for sockets"
    else:
        fault = "cannot be written" if Path(preferred).is_dir() else "is no folder"
    raise ConfigError(
        f"{preferred} {fault}, and neither /tmp nor /var/tmp can take its place; set TMPDIR to a folder of "
        "this machine that has a short path and can be written"
    )
