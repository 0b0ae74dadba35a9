"""Conditional writes: of many that want to create or replace one file at once, exactly one does.

A local folder uses a hard link and a lock, an object store If-None-Match and If-Match.
"""

from __future__ import annotations

import fcntl
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipelines.errors import StorageError
from pipelines.store.io_errors import get_error_code

# A name with it in front is no file of a root: half-written, or a lock.
TEMPORARY = ".tmp-"

_TAKEN = frozenset({"PreconditionFailed", "ConditionalRequestConflict", "412", "409"})


def create_local(final: Path, data: bytes) -> bool:
    """Create a local file if nothing is there and return whether it was this call that did."""
    final.parent.mkdir(parents=True, exist_ok=True)
    with _written(final, data) as scratch:
        try:
            # A hard link is the one local call that is whole and exclusive at once.
            os.link(scratch, final)
        except FileExistsError:
            return False
    return True


def replace_local(final: Path, data: bytes, expected: bytes) -> bool:
    """Replace a local file if it holds the expected bytes and return whether it was this call that did."""
    try:
        with _locked(final):
            if final.read_bytes() != expected:
                return False
            with _written(final, data) as scratch:
                scratch.replace(final)
    except FileNotFoundError:
        return False
    return True


def remove_local(final: Path, expected: bytes) -> bool:
    """Remove a local file if it holds the expected bytes and return whether it was this call that did."""
    try:
        with _locked(final):
            if final.read_bytes() != expected:
                return False
            final.unlink()
    except FileNotFoundError:
        return False
    return True


def create_object(fs: Any, path: str, data: bytes) -> bool:
    """Create an object if nothing is there and return whether it was this call that did.

    An answer that is lost makes the retry meet its own object, so equal bytes count as this call's.
    """
    try:
        fs.pipe_file(path, data, mode="create")
    except OSError as error:
        if not (isinstance(error, FileExistsError) or get_error_code(error) in _TAKEN):
            raise
        return bytes(fs.cat_file(path)) == data
    return True


def replace_object(fs: Any, path: str, data: bytes, expected: bytes) -> bool:
    """Replace an object if it holds the expected bytes and return whether it was this call that did.

    Raises:
        StorageError: the store knows no If-Match.
    """
    if "s3" not in fs.protocol:
        raise StorageError(
            f"{fs.protocol} storage cannot replace a file on condition; use a local folder or s3://"
        )
    try:
        # The tag is read first: if the object changes before it is read, the write finds another tag.
        fs.invalidate_cache(path)
        tag = fs.info(path)["ETag"]
        if bytes(fs.cat_file(path)) != expected:
            return False
        fs.pipe_file(path, data, IfMatch=tag)
    except FileNotFoundError:
        return False
    except OSError as error:
        if get_error_code(error) not in _TAKEN:
            raise
        return bytes(fs.cat_file(path)) == data
    return True


def sync(path: Path) -> None:
    """Return once the bytes of a local file are on the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


@contextmanager
def _written(final: Path, data: bytes) -> Iterator[Path]:
    scratch = final.with_name(f"{TEMPORARY}{uuid.uuid4().hex}-{final.name}")
    try:
        scratch.write_bytes(data)
        sync(scratch)
        yield scratch
    finally:
        scratch.unlink(missing_ok=True)


@contextmanager
def _locked(final: Path) -> Iterator[None]:
    """Hold the lock of a file that is there; the system lets go of it when the process dies."""
    while True:
        with final.open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            # Who held it before may have put another file under the name: then that one is to be locked.
            if os.path.samestat(os.fstat(file.fileno()), final.stat()):
                yield
                return
