"""What file systems and object stores say when something is wrong, each as one sentence of ours."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from pipelines.errors import EcholensError, StopJob, StorageError

# The store's own words, from S3's list of error codes.
_NO_BUCKET = frozenset({"NoSuchBucket"})
_WRONG_KEY = frozenset({"InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken"})
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@contextmanager
def as_storage_errors(url: str, doing: Literal["read", "written"] = "written") -> Iterator[None]:
    """Turn what goes wrong with the root at `url` into one sentence.

    A file that is not there stays a FileNotFoundError while reading: many a caller has an answer to it.

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
        raise StorageError(f"root {url} cannot be written ({_said(error)}); choose another root") from error
    except (OSError, _botocore()) as error:
        raise _sentence(url, doing, error) from error
    except EcholensError:
        raise
    except Exception as error:
        # FAISS and DuckDB have errors of their own, with the system's words in them.
        if any(os.strerror(number) in str(error) for number in _FULL):
            raise _full(url) from error
        raise


def get_error_code(error: BaseException) -> str:
    """Return an object store's own word for an error, empty if it said none."""
    answer = getattr(error.__cause__ or error, "response", None) or {}
    return str(answer.get("Error", {}).get("Code", ""))


def _botocore() -> type[Exception]:
    """The base of what botocore raises before any answer; loaded only where it can have been raised."""
    import sys

    module = sys.modules.get("botocore.exceptions")
    found: type[Exception] = module.BotoCoreError if module else OSError
    return found


def _sentence(url: str, doing: str, error: Exception) -> EcholensError:
    if isinstance(error, OSError) and error.errno in _FULL:
        return _full(url)
    if isinstance(error, NotADirectoryError):
        return StorageError(f"root {url} runs through a file ({error.filename}); choose a folder")
    return StorageError(f"root {url} cannot be {doing} ({_said(error)}); {_remedy(url, doing, error)}")


def _full(url: str) -> StopJob:
    return StopJob(f"failed/disk_full: the disk of {url} is full; make room there, then start the job again")


def _remedy(url: str, doing: str, error: Exception) -> str:
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


def _said(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        where = f": {error.filename}" if error.filename else ""
        return " ".join(f"{error.strerror}{where}".split())
    return " ".join(str(error).split()) or type(error).__name__
