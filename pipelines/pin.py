"""dataset.json: what a root is, and what about it can never change."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pipelines.errors import ConfigError
from pipelines.storage import Root
from schemas.dataset import Dataset
from schemas.space import Space

_FILE = "dataset.json"


def pin(root: Root, dataset: Dataset, spaces: Mapping[str, Space]) -> None:
    """Write dataset.json for a new root, or check that the dataset is the one that lies there.

    Args:
        root: where the dataset lies.
        dataset: what is asked for.
        spaces: family ("clip", "clap") -> the space of its vectors.

    Raises:
        ConfigError: something that cannot change for a root is another than it was.
    """
    sets: dict[str, Any] = {}
    if root.exists(_FILE):
        there = json.loads(root.read(_FILE))
        was = Dataset.model_validate(there["dataset"] | {"root": dataset.root})
        sets = there["sets"]
        _check(root, was, dataset)
    asked = {family: space.model_dump(mode="json") for family, space in sorted(spaces.items())}
    found = sets.get(dataset.encode.set)
    if found is not None and found != asked:
        family = next(name for name in ("clip", "clap") if found.get(name) != asked.get(name))
        raise ConfigError(
            f"set {dataset.encode.set!r} of {root.url} holds {family} vectors of {_space(found.get(family))} "
            f"and {_space(asked.get(family))} was asked for; give the other encoder another `encode.set`"
        )
    written = {
        "dataset": dataset.model_dump(mode="json"),
        "sets": sets | {dataset.encode.set: asked},
    }
    if not root.exists(_FILE) or json.loads(root.read(_FILE)) != written:
        root.write_json(_FILE, written)


def spaces_of(root: Root, set_name: str) -> dict[str, Space]:
    """Return the spaces that a set of a root was pinned to, by family."""
    sets = json.loads(root.read(_FILE))["sets"]
    return {family: Space.model_validate(space) for family, space in sets.get(set_name, {}).items()}


def _space(space: dict[str, Any] | None) -> str:
    return str(Space.model_validate(space)) if space else "no encoder"


def _check(root: Root, was: Dataset, dataset: Dataset) -> None:
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
