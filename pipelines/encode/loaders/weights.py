"""Files of weights: their fingerprint, their tensors, and the errors that say what is wrong with them."""

from __future__ import annotations

import hashlib
import inspect
import pickle
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from pipelines.errors import ConfigError

PUT_THERE = "put the weights there"
# Where pocket weights stand in.
_WITH_POCKET = ("encode.clip", "encode.clap")
_UNUSABLE = (RuntimeError, OSError, ValueError, pickle.UnpicklingError)


def compute_fingerprint(files: Sequence[Path]) -> str:
    """Return the sha256 of one file as `sha256sum` prints it, or of the list of them if there are several."""
    hashes = [_compute_sha256(file, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    if len(hashes) == 1:
        return hashes[0]
    listed = "".join(f"{digest}  {file.name}\n" for digest, file in zip(hashes, files, strict=True))
    return hashlib.sha256(listed.encode()).hexdigest()


def list_own_files(own: object) -> list[Path]:
    """Return the files that decide what an instance of somebody's own class computes.

    Args:
        own: whose attribute `weights`, if it has one, is a file or a folder of files; else its module counts.

    Raises:
        ConfigError: the weights are not there.
    """
    weights = getattr(own, "weights", None)
    if weights is None:
        return [Path(inspect.getfile(type(own)))]
    path = Path(weights)
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    if not files or not files[0].is_file():
        raise ConfigError(f"{type(own).__name__}: there is no file {weights}; put the weights there")
    return files


@lru_cache(maxsize=64)
def _compute_sha256(file: Path, size: int, changed_ns: int) -> str:  # noqa: ARG001 - both are keys of the cache
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def load_tensors(where: str, file: Path, allowed: Sequence[Any] = ()) -> Any:
    """Return what a file of weights holds, mapped from it; nothing of it is ever executed.

    Args:
        where: the key or the part that names the weights, as in encode.clip, for errors.
        file: in safetensors, or pickled by torch.
        allowed: classes and functions that a pickle may name besides tensors.

    Raises:
        ConfigError: it cannot be read, or names anything else.
    """
    import torch
    from safetensors.torch import load_file

    with as_config_errors(where, file.name), torch.serialization.safe_globals(list(allowed)):
        if file.suffix == ".safetensors":
            return load_file(file)
        return torch.load(file, map_location="cpu", weights_only=True, mmap=True)


def make_missing_error(where: str, problem: str, advice: str = PUT_THERE) -> ConfigError:
    """Return the error for weights that are not there.

    Args:
        where: the key or the part that names them, as in encode.clip.
        problem: what is missing and where, as a clause.
        advice: what to do.
    """
    other = f", or set {where}=pocket to try without" if where in _WITH_POCKET else ""
    return ConfigError(f"{where}: {problem}; {advice}{other}")


def _is_of_unpickler(error: Exception) -> bool:
    """Return whether torch's reader of pickles raised an error.

    For bytes that are no checkpoint it is an IndexError, KeyError, EOFError, struct.error or AssertionError.
    """
    frames = traceback.walk_tb(error.__traceback__)
    return any(frame.f_globals.get("__name__") == "torch._weights_only_unpickler" for frame, _ in frames)


@contextmanager
def as_config_errors(where: str, what: str) -> Iterator[None]:
    """Turn what the libraries raise for weights they cannot use into one sentence.

    Args:
        where: the key or the part that names them, as in encode.clip.
        what: is being loaded.

    Raises:
        ConfigError: instead.
    """
    from safetensors import SafetensorError

    try:
        yield
    except Exception as error:
        if not isinstance(error, (*_UNUSABLE, SafetensorError)) and not _is_of_unpickler(error):
            raise
        raise ConfigError(
            f"{where}: {what} cannot be loaded ({get_first_line(error)}); "
            "check that weights, configuration and tokenizer belong together"
        ) from error


def get_first_line(error: BaseException) -> str:
    """Return the class of an error and the first line of its message."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
