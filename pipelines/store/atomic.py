"""Conditional writes: of several writers that create or replace one file at once, exactly one succeeds.

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

# Prefix of scratch files: a file with such a name is half-written and does not belong to the root.
TEMPORARY = ".tmp-"

_CONFLICT_CODES = frozenset({"PreconditionFailed", "ConditionalRequestConflict", "412", "409"})


def create_local(final: Path, data: bytes) -> bool:
    """Create a local file if there is none; return whether this call did."""
    final.parent.mkdir(parents=True, exist_ok=True)
    with _write_scratch(final, data) as scratch:
        try:
            # A hard link is the only local call that is both atomic and exclusive.
            os.link(scratch, final)
        except FileExistsError:
            return False
    return True


def replace_local(final: Path, data: bytes, expected: bytes) -> bool:
    """Replace a local file if it holds the expected bytes; return whether this call did."""
    try:
        with _lock(final):
            if final.read_bytes() != expected:
                return False
            with _write_scratch(final, data) as scratch:
                scratch.replace(final)
    except FileNotFoundError:
        return False
    return True


def remove_local(final: Path, expected: bytes) -> bool:
    """Remove a local file if it holds the expected bytes; return whether this call did."""
    try:
        with _lock(final):
            if final.read_bytes() != expected:
                return False
            final.unlink()
    except FileNotFoundError:
        return False
    return True


def create_object(fs: Any, path: str, data: bytes) -> bool:
    """Create an object if there is none; return whether this call did.

    If a response is lost, the retry finds its own object, so equal bytes count as this call's.
    """
    try:
        fs.pipe_file(path, data, mode="create")
    except OSError as error:
        if not (isinstance(error, FileExistsError) or get_error_code(error) in _CONFLICT_CODES):
            raise
        return bytes(fs.cat_file(path)) == data
    return True


def replace_object(fs: Any, path: str, data: bytes, expected: bytes) -> bool:
    """Replace an object if it holds the expected bytes; return whether this call did.

    Raises:
        StorageError: the store does not support If-Match.
    """
    if "s3" not in fs.protocol:
        raise StorageError(
            f"{fs.protocol} storage cannot replace a file on condition; use a local folder or s3://"
        )
    try:
        # The tag is read before the bytes: if the object changes in between, the write fails on the tag.
        fs.invalidate_cache(path)
        tag = fs.info(path)["ETag"]
        if bytes(fs.cat_file(path)) != expected:
            return False
        fs.pipe_file(path, data, IfMatch=tag)
    except FileNotFoundError:
        return False
    except OSError as error:
        if get_error_code(error) not in _CONFLICT_CODES:
            raise
        return bytes(fs.cat_file(path)) == data
    return True


def sync(path: Path) -> None:
    """Flush a local file to disk (fsync)."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


@contextmanager
def _write_scratch(final: Path, data: bytes) -> Iterator[Path]:
    scratch = final.with_name(f"{TEMPORARY}{uuid.uuid4().hex}-{final.name}")
    try:
        scratch.write_bytes(data)
        sync(scratch)
        yield scratch
    finally:
        scratch.unlink(missing_ok=True)


@contextmanager
def _lock(final: Path) -> Iterator[None]:
    """Lock an existing file; the system releases the lock when the process dies."""
    while True:
        with final.open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            # The previous holder may have replaced the file: then lock the new one.
            if os.path.samestat(os.fstat(file.fileno()), final.stat()):
                yield
                return
