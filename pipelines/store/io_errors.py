"""Turns the errors of file systems and object stores into one sentence each."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from pipelines.errors import EcholensError, StopJob, StorageError

# From S3's list of error codes.
_NO_BUCKET = frozenset({"NoSuchBucket"})
_WRONG_KEY = frozenset({"InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken"})
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@contextmanager
def as_storage_errors(url: str, doing: Literal["read", "written"] = "written") -> Iterator[None]:
    """Turn errors of the root at `url` into one sentence.

    A missing file stays a FileNotFoundError while reading, since many callers handle it.

    Raises:
        StopJob: the disk is full.
        StorageError: anything else.
    """
    try:
        yield
    except FileNotFoundError as error:
        if get_error_code(error) in _NO_BUCKET:
            raise StorageError(f"root {url}: there is no such bucket; create it, or mend `root`") from error
        if doing == "read":
            raise
        raise StorageError(
            f"root {url} cannot be written ({_describe(error)}); choose another root"
        ) from error
    except (OSError, _get_botocore_error()) as error:
        raise _translate(url, doing, error) from error
    except EcholensError:
        raise
    except Exception as error:
        # FAISS and DuckDB raise their own errors, which quote the system's message.
        if any(os.strerror(number) in str(error) for number in _FULL):
            raise _make_disk_full(url) from error
        raise


def get_error_code(error: BaseException) -> str:
    """Return an object store's code of an error, empty if it gave none."""
    response = getattr(error.__cause__ or error, "response", None) or {}
    return str(response.get("Error", {}).get("Code", ""))


def _get_botocore_error() -> type[Exception]:
    """Return the base class of botocore's errors; OSError where botocore is not loaded."""
    import sys

    module = sys.modules.get("botocore.exceptions")
    error: type[Exception] = module.BotoCoreError if module else OSError
    return error


def _translate(url: str, doing: str, error: Exception) -> EcholensError:
    if isinstance(error, OSError) and error.errno in _FULL:
        return _make_disk_full(url)
    if isinstance(error, NotADirectoryError):
        return StorageError(f"root {url} runs through a file ({error.filename}); choose a folder")
    return StorageError(
        f"root {url} cannot be {doing} ({_describe(error)}); {_suggest_remedy(url, doing, error)}"
    )


def _make_disk_full(url: str) -> StopJob:
    return StopJob(f"failed/disk_full: the disk of {url} is full; make room there, then start the job again")


def _suggest_remedy(url: str, doing: str, error: Exception) -> str:
    name = type(error).__name__
    if "Credentials" in name or "Profile" in name:
        return "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
    if get_error_code(error) in _WRONG_KEY:
        return "give other credentials"
    if isinstance(error, PermissionError):
        return f"choose a root that this user may {'read' if doing == 'read' else 'write to'}"
    if "://" in url:
        return "see that it answers, then start the job again"
    return "look at its disk" if doing == "read" else "choose another root"


def _describe(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        where = f": {error.filename}" if error.filename else ""
        return " ".join(f"{error.strerror}{where}".split())
    return " ".join(str(error).split()) or type(error).__name__
