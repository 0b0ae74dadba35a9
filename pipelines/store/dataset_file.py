"""dataset.json: what a root is, and what about it can never change."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from pipelines.errors import ConfigError, StorageError
from pipelines.store.root import Root
from pipelines.store.trust import check_classes
from schemas.dataset import Dataset, Encode
from schemas.space import Space
from schemas.vectors import Family

_FILE = "dataset.json"


def check(root: Root, dataset: Dataset) -> None:
    """Check that a dataset may lie where it is asked for: nothing is there, or one of the same shape is.

    Raises:
        ConfigError: something that cannot change for a root is another than it was.
    """
    if root.exists(_FILE):
        was = Dataset.model_validate(json.loads(root.read(_FILE))["dataset"] | {"root": dataset.root})
        before, after = was.pinned(), dataset.pinned()
        for key in before:
            if before[key] != after[key]:
                raise ConfigError(
                    f"{key} of {root.url} is {before[key]!r} for good, and {after[key]!r} was asked for; "
                    "set it back, or build into another root"
                )


def check_planned(root: Root, dataset: Dataset) -> None:
    """Check that a dataset wants the rows that its root was planned with.

    Raises:
        ConfigError: it wants others.
    """
    if root.exists(_FILE):
        was = Dataset.model_validate(json.loads(root.read(_FILE))["dataset"] | {"root": dataset.root})
        for key in ("sources", "filter"):
            if _wanted(was, key) != _wanted(dataset, key):
                raise ConfigError(
                    f"{key} of {root.url} differ from those it was planned with; run `echolens refresh` to "
                    "bring them in, set them back, or build into another root"
                )


def _wanted(dataset: Dataset, key: str) -> object:
    """Return what a dataset wants, wherever its lists lie: one that was moved or copied is the same."""
    if key != "sources":
        wanted: BaseModel = getattr(dataset, key)
        return wanted.model_dump()
    return [
        source.model_dump(mode="json") | ({} if "://" in source.list else {"list": Path(source.list).name})
        for source in dataset.sources
    ]


def check_spaces(root: Root, dataset: Dataset, spaces: Mapping[Family, Space]) -> None:
    """Check that the vectors of a set stay in their spaces.

    Args:
        root: where.
        dataset: what is asked for.
        spaces: family ("clip", "clap") -> the space of its vectors.

    Raises:
        ConfigError: a set would have vectors of two spaces.
    """
    if not root.exists(_FILE):
        return
    there = json.loads(root.read(_FILE))
    asked = _written(spaces)
    found = there["sets"].get(dataset.encode.set)
    if found is not None and found != asked:
        family = next(name for name in ("clip", "clap") if found.get(name) != asked.get(name))
        raise ConfigError(
            f"set {dataset.encode.set!r} of {root.url} holds {family} vectors of {_space(found.get(family))} "
            f"and {_space(asked.get(family))} was asked for; give the other encoder another `encode.set`"
        )
    _check_segment(root, dataset, there)


def _check_segment(root: Root, dataset: Dataset, there: Mapping[str, Any]) -> None:
    name, asked = dataset.encode.set, dataset.encode.segment.decides()
    found = there.get("segments", {}).get(name, {})
    if name in there["sets"] and found != asked:
        raise ConfigError(
            f"set {name!r} of {root.url} holds vectors of {_part(found)} and {_part(asked)} was asked for; "
            "give another `encode.segment` another `encode.set`"
        )


def _part(decided: Mapping[str, Any]) -> str:
    keys = ", ".join(f"{key} {value}" for key, value in decided.items())
    return f"segments ({keys})" if keys else "whole clips"


def is_same(root: Root, dataset: Dataset) -> bool:
    """Return whether the root was made of the same rows by the same encoders, however it was fetched."""
    if not root.exists(_FILE):
        return False
    there = Dataset.model_validate(json.loads(root.read(_FILE))["dataset"] | {"root": dataset.root})
    return all(_wanted(there, key) == _wanted(dataset, key) for key in ("sources", "filter", "encode")) and (
        there.pinned() == dataset.pinned()
    )


def pin(root: Root, dataset: Dataset, spaces: Mapping[Family, Space] | None = None) -> None:
    """Write dataset.json after the checks, unless it says the same already; without spaces they stay."""
    there = json.loads(root.read(_FILE)) if root.exists(_FILE) else {"sets": {}}
    written = {
        "dataset": dataset.model_dump(mode="json"),
        "sets": there["sets"] | ({} if spaces is None else {dataset.encode.set: _written(spaces)}),
    }
    segments = there.get("segments", {})
    if decided := dataset.encode.segment.decides():
        segments = segments | {dataset.encode.set: decided}
    if segments:
        written["segments"] = segments
    # What the newest build asked for is in `dataset`; the other sets' encoders are kept beside it.
    written["encoders"] = there.get("encoders", {}) | {
        dataset.encode.set: dataset.encode.model_dump(mode="json")
    }
    if there != written:
        root.write_json(_FILE, written)


def _written(spaces: Mapping[Family, Space]) -> dict[str, Any]:
    return {family: space.model_dump(mode="json") for family, space in sorted(spaces.items())}


def read_spaces(root: Root, set_name: str) -> dict[str, Space]:
    """Return the spaces that a set of a root was pinned to, by family; none if it was not yet."""
    if not root.exists(_FILE):
        return {}
    sets = json.loads(root.read(_FILE))["sets"]
    return {family: Space.model_validate(space) for family, space in sets.get(set_name, {}).items()}


def with_vector_set(root: Root, dataset: Dataset, set_name: str | None) -> Dataset:
    """Return a root's dataset with the encoders of one of its sets; None leaves it as it is.

    Raises:
        ConfigError: there is no such set, or it names a class that the dataset does not trust.
    """
    if set_name is None or set_name == dataset.encode.set:
        return dataset
    known = json.loads(root.read(_FILE)).get("encoders", {}) if root.exists(_FILE) else {}
    if set_name not in known:
        raise ConfigError(
            f"{root.url} has no set {set_name!r} (it has: {', '.join(sorted(known)) or 'none'}); "
            f"build it with `encode.set={set_name}`"
        )
    encode = Encode.model_validate(known[set_name]).trust(dataset.encode.trusted)
    check_classes(encode, f"set {set_name!r} of {root.url}")
    return dataset.model_copy(update={"encode": encode})


def list_sets(root: Root) -> list[str]:
    """Return the names of the vector sets of a root.

    Raises:
        StorageError: there is no dataset.
    """
    if not root.exists(_FILE):
        raise StorageError(f"{root.url} holds no dataset; run `echolens build` on its file first")
    return sorted(json.loads(root.read(_FILE))["sets"])


def _space(space: dict[str, Any] | None) -> str:
    return str(Space.model_validate(space)) if space else "no encoder"
