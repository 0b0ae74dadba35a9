"""The Hugging Face hub: downloads at a fixed commit, and the licence that fetched weights state."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pipelines.encode.loaders.weights import PUT_THERE, get_first_line, make_missing_error
from pipelines.errors import ConfigError

_log = logging.getLogger(__name__)

_REPOSITORY = r"[\w-][\w.-]*/[\w.-]+"


def download_repository(  # noqa: PLR0913, PLR0917 - what a repository may hold differs by library
    where: str,
    repository: str,
    revision: str | None,
    files: Sequence[str],
    safetensors: str,
    pickled: Sequence[str],
) -> Path:
    """Return the folder of a repository in the hub's cache, which names it by its commit.

    Args:
        where: the key or the part that names it, as in encode.clip, for errors.
        repository: OWNER/NAME.
        revision: a commit; the newest one if None.
        files: patterns of what is needed, weights in safetensors included.
        safetensors: a pattern of these weights.
        pickled: patterns of weights in the older format, fetched only where there are none in safetensors.

    Raises:
        ConfigError: there is no such repository or commit, or the hub does not answer.
    """
    if not re.fullmatch(_REPOSITORY, repository):
        raise make_missing_error(where, f"there is no folder {repository}")
    _check_commit(where, repository, revision)
    from huggingface_hub import snapshot_download

    with as_download_errors(where, f"{repository} is no folder here and"):
        folder = Path(snapshot_download(repository, revision=revision, allow_patterns=list(files)))
        if not list(folder.glob(safetensors)):
            snapshot_download(repository, revision=revision, allow_patterns=list(pickled))
    return folder


def download_file(where: str, path: str, revision: str | None) -> Path:
    """Return a checkpoint of a repository in the hub's cache; its folder is named by the commit.

    Args:
        where: the key or the part that names it, as in encode.clip, for errors.
        path: OWNER/NAME/FILE.pt.
        revision: a commit; the newest one if None.

    Raises:
        ConfigError: there is no such file or commit, or the hub does not answer.
    """
    parts = re.fullmatch(rf"({_REPOSITORY})/([\w./-]+\.pt)", path)
    if not parts:
        raise make_missing_error(where, f"there is no file {path}, nor is it OWNER/NAME/FILE.pt")
    repository, file = parts.groups()
    _check_commit(where, repository, revision)
    from huggingface_hub import hf_hub_download

    with as_download_errors(where, f"{path} is no file here and"):
        return Path(hf_hub_download(repository, file, revision=revision))


@contextmanager
def as_download_errors(where: str, source: str, advice: str = PUT_THERE) -> Iterator[None]:
    """Turn what a failed download raises into the error for missing weights.

    Args:
        where: as above.
        source: what is fetched, as the beginning of a sentence that goes on with "could not be fetched".
        advice: what to do.

    Raises:
        ConfigError: instead.
    """
    try:
        yield
    except (OSError, RuntimeError, ValueError) as error:
        problem = f"{source} could not be fetched ({get_first_line(error)})"
        raise make_missing_error(where, problem, advice) from error


@contextmanager
def refuse_remote_code() -> Iterator[None]:
    """Let transformers refuse code beside weights where a library calls it without saying so.

    By itself it asks on the terminal whether to run it, for 15 s.
    """
    from transformers import dynamic_module_utils

    before = dynamic_module_utils.TIME_OUT_REMOTE_CODE
    dynamic_module_utils.TIME_OUT_REMOTE_CODE = 0
    try:
        yield
    finally:
        dynamic_module_utils.TIME_OUT_REMOTE_CODE = before


def _check_commit(where: str, repository: str, revision: str | None) -> None:
    """Refuse a branch or a tag: tomorrow it may be another model."""
    if revision is not None and not re.fullmatch(r"[0-9a-f]{40}", revision):
        raise ConfigError(
            f"{where}.revision: {revision!r} may move; give the 40 hex digits of a commit of {repository}"
        )


def read_licence(folder: Path) -> str | None:
    """Return the licence that a model's card (README.md) states, as in `cc-by-nc-sa-4.0`."""
    import yaml

    card = folder / "README.md"
    parts = card.read_text(encoding="utf-8", errors="replace").split("---\n", 2) if card.is_file() else []
    if len(parts) < 3 or parts[0].strip():
        return None
    try:
        header = yaml.safe_load(parts[1])
    except (yaml.YAMLError, ValueError, RecursionError):
        return None
    licence = header.get("license") if isinstance(header, dict) else None
    return licence if isinstance(licence, str) else None


def report_licence(repository: str, folder: Path) -> str:
    """Log the licence of fetched weights, and return the sentence."""
    licence = read_licence(folder)
    if licence is None:
        sentence = f"{repository} states no licence; ask its owners what its sounds may be used for"
    elif "-nc" in licence.lower():
        sentence = f"{repository} is under {licence}: no commercial use of the weights, nor of their sounds"
    else:
        sentence = f"{repository} is under {licence}"
    _log.warning(sentence)
    return sentence
