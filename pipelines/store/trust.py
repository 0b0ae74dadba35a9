"""Trust in code that a dataset names: a class is imported only if the user of a command has named it.

A user names a class in their own file, in an override, or by `--trust`. A root names classes, too, but it may
come from anybody: opening it must not run them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipelines.errors import ConfigError, StorageError
from pipelines.store.containment import open_file
from pipelines.store.places import collect_keys
from schemas.custom_loader import CLASS_PATTERN
from schemas.generators import is_generator_class
from schemas.strict import Trust

# Where a dataset may name a class, and what the class is there; * is every key or item.
_PLACES: Mapping[tuple[str, ...], str] = {
    ("sources", "*", "kind"): "list",
    ("filter", "own", "*", "filter"): "filter",
    ("encode", "*", "loader"): "encoder",
    ("encode", "segment", "by", "loader"): "classifier",
    ("generator", "name"): "generator",
}


def find_classes(content: Mapping[str, Any]) -> dict[str, str]:
    """Return the classes (module:Class) that are named in a dataset, each with what it is: "encoder".

    Args:
        content: of a dataset or of a part of it, as nested mappings and sequences, whether valid or not.
    """
    found = {
        name: what
        for place, what in _PLACES.items()
        for name in _iterate_values(content, place)
        if isinstance(name, str) and _is_class(name, what)
    }
    return dict(sorted(found.items()))


def _is_class(name: str, what: str) -> bool:
    # A generator may be NAME:TRAINED, too.
    return is_generator_class(name) if what == "generator" else ":" in name


def _iterate_values(content: Any, place: Sequence[str]) -> Iterator[Any]:
    """Yield the values at a place. Overrides alone have mappings by number where a dataset has sequences."""
    if not place:
        yield content
        return
    key, *rest = place
    if key == "*":
        items = content.values() if isinstance(content, Mapping) else content
        for item in items if isinstance(items, Iterable) and not isinstance(items, str) else ():
            yield from _iterate_values(item, rest)
    elif isinstance(content, Mapping) and key in content:
        yield from _iterate_values(content[key], rest)


def with_root_keys(trust: Trust, content: Mapping[str, Any], source: str) -> Trust:
    """Return what a person vouches for of content that a root gives: none of its places and guards.

    Args:
        trust: of the person; if it is of the whole root, nothing is taken from it.
        content: of the root, or of a part of it, as nested mappings.
        source: of the content, for errors.
    """
    keys = () if trust.whole_root else collect_keys(content)
    return replace(trust, root_keys=frozenset(keys), source=source)


def check_classes(content: Mapping[str, Any], trusted: Collection[str], where: str) -> None:
    """Refuse a dataset that names a class which the user has not named.

    Args:
        content: of the dataset or of a part of it, as nested mappings.
        trusted: classes that the user has named.
        where: source of the content, for the error.

    Raises:
        ConfigError: there is one.
    """
    untrusted = {name: what for name, what in find_classes(content).items() if name not in trusted}
    if untrusted:
        raise make_untrusted_error(untrusted, where)


def make_untrusted_error(classes: Mapping[str, str], where: str) -> ConfigError:
    """Return the error for classes that the user has not named.

    Args:
        classes: module:Class -> what it is, as in "encoder".
        where: source of their names.
    """
    by_use: dict[str, list[str]] = {}
    for name, what in classes.items():
        by_use.setdefault(what, []).append(name)
    named = ", ".join(f"{' and '.join(names)} as {what}" for what, names in by_use.items())
    options = " ".join(f"--trust {name}" for name in classes)
    return ConfigError(
        f"{where} names {named}, and only code that you name yourself is run; "
        f"if you know it, add {options}, or give a dataset file of your own"
    )


def check_trust(classes: Iterable[str]) -> None:
    """Refuse trusted names that are not written as classes.

    Args:
        classes: that the user has named.

    Raises:
        ConfigError: one is not written as module:Class.
    """
    for name in classes:
        if not re.fullmatch(CLASS_PATTERN, name):
            raise ConfigError(f"--trust {name!r} names no class; write module:Class, as the root does")


def find_enclosing_root(file: Path) -> Path | None:
    """Return the root that a file lies in, by its path or behind links; None if it lies in none."""
    folders = [*file.absolute().parents, *file.resolve().parents]
    return next((folder for folder in folders if _is_root(folder)), None)


def _is_root(folder: Path) -> bool:
    path = folder / "dataset.json"
    try:
        with open_file(str(path)) as file:
            content = json.loads(file.read())
    except StorageError:
        return True  # a FIFO, say, that nobody but a root would have under this name
    except (OSError, ValueError, RecursionError):
        return path.is_symlink()
    return isinstance(content, dict) and "dataset" in content
