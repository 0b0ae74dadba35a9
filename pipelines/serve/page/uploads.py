"""The folder of uploads: what a browser sent, and nothing else of the machine."""

from __future__ import annotations

import atexit
import os
import shutil
import stat
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from pipelines.errors import RequestRefusedError
from pipelines.serve.settings import ServiceLimits

# Uploads that have no client, such as those whose client has gone in the middle.
_NOBODY = ""


class _Upload(NamedTuple):
    path: Path
    bytes: int
    changed: float


@cache
def make_private_folder(parent: Path | None) -> Path:
    """Return this process's folder of uploads, fresh, which only this user may enter; it is removed at exit.

    Gradio has one such folder a process.

    Args:
        parent: where it is made; the system's temporary folder if None.
    """
    folder = Path(tempfile.mkdtemp(prefix="echolens-uploads-", dir=parent)).resolve()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


class UploadFolder:
    """The uploads in a folder.

    Args:
        path: of the folder, from `make_private_folder`.
        limits: of uploads.
    """

    def __init__(self, path: Path, limits: ServiceLimits) -> None:
        self.path, self._limits = path, limits
        self._clients: dict[Path, str] = {}
        self._arriving: Counter[str] = Counter()

    def find(self, name: object) -> Path:
        """Return an upload that a client names.

        Raises:
            RequestRefusedError: it is no regular file strictly below the folder, or it is too large.
        """
        refused = RequestRefusedError(422, "a file that was not uploaded here was named; upload it first")
        if not isinstance(name, str) or not name.startswith("/") or "\0" in name:
            raise refused
        path = Path(name)
        # Not resolved: below the folder there are no links, and what lies elsewhere is not looked at.
        if ".." in path.parts or not path.is_relative_to(self.path) or path == self.path:
            raise refused
        try:
            found = self._stat(path)
        except (FileNotFoundError, NotADirectoryError):
            raise RequestRefusedError(422, "the file is no longer here; drop it again") from None
        except OSError:
            raise refused from None
        if not stat.S_ISREG(found.st_mode):
            raise refused
        if found.st_size > self._limits.body_bytes:
            raise RequestRefusedError(413, "the file is too large; send a smaller one")
        return path

    def _stat(self, path: Path) -> os.stat_result:
        """Return what lies at a path below the folder, without following a link on the way."""
        at = self.path
        found = at.lstat()
        for part in path.relative_to(self.path).parts:
            if not stat.S_ISDIR(found.st_mode):
                raise NotADirectoryError(at)
            at = at / part
            found = at.lstat()
        return found

    def read(self, name: object) -> bytes:
        """Return the bytes of an upload that a client names.

        Raises:
            RequestRefusedError: see `find`.
        """
        path = self.find(name)
        try:
            # Should it have been replaced meanwhile, neither a link is followed nor a FIFO waited for.
            file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            raise RequestRefusedError(422, "the file is no longer here; drop it again") from None
        with os.fdopen(file, "rb") as opened:
            return opened.read(self._limits.body_bytes)

    def expect(self, client: str, size: int) -> bool:
        """Count an upload that is about to arrive; return False if more arrives at once than may be kept."""
        cap = self._limits.upload_bytes
        if self._arriving[client] + size > cap.a_client or self._arriving.total() + size > cap.total:
            return False
        self._arriving[client] += size
        return True

    def end(self, client: str, size: int, names: list[str]) -> None:
        """Count an upload that has ended, and make room where more is kept than may be.

        Args:
            client: who sent it.
            size: as in `expect`.
            names: paths of the files that came of it.
        """
        self._arriving[client] -= size
        self._arriving += Counter()  # drops those at 0
        self._clients |= {Path(name): client for name in names}
        self.prune()

    def prune(self) -> None:
        """Remove uploads that are old; of those over a cap the oldest, of that client or of the largest."""
        now = time.time()
        kept: list[_Upload] = []
        for upload in sorted(self._list(), key=lambda one: one.changed):
            # One that arrives has no client yet, and its request a deadline.
            is_lost = upload.path not in self._clients
            keep_s = 2 * self._limits.body_s if is_lost else self._limits.upload_s
            if now - upload.changed > keep_s:
                _unlink(upload.path)
            else:
                kept.append(upload)
        while (over := self._find_over(kept)) is not None:
            oldest = next(one for one in kept if self._clients.get(one.path, _NOBODY) == over)
            kept.remove(oldest)
            _unlink(oldest.path)
        there = {one.path for one in kept}
        self._clients = {path: client for path, client in self._clients.items() if path in there}

    def _find_over(self, kept: list[_Upload]) -> str | None:
        """Return a client of whom too much is kept; if it is too much in all, the one with most bytes."""
        size: Counter[str] = Counter()
        count: Counter[str] = Counter()
        for one in kept:
            client = self._clients.get(one.path, _NOBODY)
            size[client] += one.bytes
            count[client] += 1
        by_bytes, by_files = self._limits.upload_bytes, self._limits.upload_files
        for client in size:
            if client != _NOBODY and (size[client] > by_bytes.a_client or count[client] > by_files.a_client):
                return client
        if size.total() > by_bytes.total:
            return size.most_common(1)[0][0]
        return count.most_common(1)[0][0] if count.total() > by_files.total else None

    def _list(self) -> Iterator[_Upload]:
        for folder, _, names in os.walk(self.path):
            for name in names:
                path = Path(folder, name)
                try:
                    found = path.lstat()
                except FileNotFoundError:
                    continue
                yield _Upload(path, found.st_size, found.st_mtime)


def _unlink(path: Path) -> None:
    path.unlink(missing_ok=True)
    try:
        # Gradio makes a folder a file, named by its hash.
        path.parent.rmdir()
    except OSError:
        return
