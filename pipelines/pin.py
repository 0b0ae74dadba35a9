"""dataset.json: what a root is, and what about it can never change."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pipelines.errors import ConfigError, StorageError
from pipelines.storage import Root
from schemas.dataset import Dataset
from schemas.space import Space
from schemas.vectors import Family

_FILE = "dataset.json"


def check(root: Root, dataset: Dataset, spaces: Mapping[Family, Space]) -> None:
    """Check that a dataset may lie where it is asked for: nothing is there, or the same dataset is.

    Args:
        root: where.
        dataset: what is asked for.
        spaces: family ("clip", "clap") -> the space of its vectors.

    Raises:
        ConfigError: something that cannot change for a root is another than it was.
    """
    if not root.exists(_FILE):
        return
    there = json.loads(root.read(_FILE))
    _check_pinned(root, Dataset.model_validate(there["dataset"] | {"root": dataset.root}), dataset)
    asked = _written(spaces)
    found = there["sets"].get(dataset.encode.set)
    if found is not None and found != asked:
        family = next(name for name in ("clip", "clap") if found.get(name) != asked.get(name))
        raise ConfigError(
            f"set {dataset.encode.set!r} of {root.url} holds {family} vectors of {_space(found.get(family))} "
            f"and {_space(asked.get(family))} was asked for; give the other encoder another `encode.set`"
        )


def is_same(root: Root, dataset: Dataset) -> bool:
    """Return whether the root was made of the same rows by the same encoders, however it was fetched."""
    if not root.exists(_FILE):
        return False
    there = Dataset.model_validate(json.loads(root.read(_FILE))["dataset"] | {"root": dataset.root})
    return all(getattr(there, key) == getattr(dataset, key) for key in ("sources", "filter", "encode")) and (
        there.pinned() == dataset.pinned()
    )


def pin(root: Root, dataset: Dataset, spaces: Mapping[Family, Space]) -> None:
    """Write dataset.json after `check`, unless it says the same already."""
    there = json.loads(root.read(_FILE)) if root.exists(_FILE) else {"sets": {}}
    written = {
        "dataset": dataset.model_dump(mode="json"),
        "sets": there["sets"] | {dataset.encode.set: _written(spaces)},
    }
    if there != written:
        root.write_json(_FILE, written)


def _written(spaces: Mapping[Family, Space]) -> dict[str, Any]:
    return {family: space.model_dump(mode="json") for family, space in sorted(spaces.items())}


def spaces_of(root: Root, set_name: str) -> dict[str, Space]:
    """Return the spaces that a set of a root was pinned to, by family; none if it was not yet."""
    if not root.exists(_FILE):
        return {}
    sets = json.loads(root.read(_FILE))["sets"]
    return {family: Space.model_validate(space) for family, space in sets.get(set_name, {}).items()}


def sets(root: Root) -> list[str]:
    """Return the names of the vector sets of a root.

    Raises:
        StorageError: there is no dataset.
    """
    if not root.exists(_FILE):
        raise StorageError(f"{root.url} holds no dataset; run `echolens build` on its file first")
    return sorted(json.loads(root.read(_FILE))["sets"])


def _space(space: dict[str, Any] | None) -> str:
    return str(Space.model_validate(space)) if space else "no encoder"


def _check_pinned(root: Root, was: Dataset, dataset: Dataset) -> None:
    before, after = was.pinned(), dataset.pinned()
    for key in before:
        if before[key] != after[key]:
            raise ConfigError(
                f"{key} of {root.url} is {before[key]!r} for good, and {after[key]!r} was asked for; "
                "set it back, or build into another root"
            )
    for key in ("sources", "filter"):
        if getattr(was, key) != getattr(dataset, key):
            raise ConfigError(
                f"{key} of {root.url} differ from those it was planned with; "
                "set them back, or build into another root"
            )
