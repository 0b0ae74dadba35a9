"""Lists on the Hugging Face Hub, `hf://datasets/OWNER/NAME[@REVISION]/PATH`: each is read at one commit.

The hub's own library asks for them, with the token of HF_TOKEN or of `hf auth login`; it sends it to the hub
alone, and not to where the hub redirects.
"""

from __future__ import annotations

import re
from functools import lru_cache

from pipelines.errors import ConfigError, ListError

_SCHEME = "hf://"
_COMMIT = re.compile(r"[0-9a-f]{40}")


def pin_revision(place: str) -> str:
    """Return the place of a list with the commit that its revision is now; another place as it is.

    Raises:
        ConfigError: the hub's library is absent.
        ListError: there is no such repository or revision, or the hub cannot be asked.
    """
    return _pin(place) if place.startswith(_SCHEME) else place


def describe_revision(place: str) -> list[str]:
    """Return what a plan says of the commit of a list; nothing for a list elsewhere."""
    if not place.startswith(_SCHEME):
        return []
    commit = re.search(r"@([0-9a-f]{40})(?:/|$)", pin_revision(place))
    return [f"list {place} is read at the commit {commit[1]}"] if commit else []


@lru_cache(maxsize=64)
def _pin(place: str) -> str:
    """Return a pinned place; a job asks once, so that all of a list is of one commit."""
    try:
        from huggingface_hub import HfApi, HfFileSystem
        from huggingface_hub.hf_file_system import HfFileSystemResolvedRepositoryPath
    except ImportError as error:
        raise ConfigError(
            f"list {place} is on the Hugging Face Hub, and huggingface_hub is not installed; install it, or "
            "download the list and name the file"
        ) from error
    try:
        found = HfFileSystem().resolve_path(place)
        if not isinstance(found, HfFileSystemResolvedRepositoryPath):
            return place  # a bucket, which has no revisions
        revision: str | None = found.revision
        if not _COMMIT.fullmatch(found.revision):
            revision = HfApi().repo_info(found.repo_id, repo_type=found.repo_type, revision=revision).sha
    except Exception as error:  # the library has exceptions of its own
        message = " ".join(str(error).split())[:300] or type(error).__name__
        raise ListError(
            f"list {place} cannot be read ({message}); check its name and revision, and HF_TOKEN if it is "
            "gated"
        ) from error
    folder = {"dataset": "datasets/", "space": "spaces/"}.get(found.repo_type, "")
    return f"{_SCHEME}{folder}{found.repo_id}@{revision}/{found.path_in_repo}".rstrip("/")
