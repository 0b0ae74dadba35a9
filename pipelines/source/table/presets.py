"""Lists that are known by name: a file each, with the keys of its kind that describe it.

The kind is `table` where a file names no other.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from pipelines.errors import ConfigError, ListError

_FOLDER = Path(__file__).parent / "lists"


def add_preset(value: Any, kind: str) -> Any:
    """Return the keys of a list with those of the preset that they name; the list's own go first.

    Args:
        value: the keys of the dataset's file.
        kind: of the list.

    Raises:
        ValueError: there is no preset of this name, or it is of another kind.
    """
    if not isinstance(value, dict) or value.get("preset") is None:
        return value
    preset = read_preset(str(value["preset"]), kind)
    if isinstance(value.get("join"), Mapping):
        # Of the other list a file names the place, and the preset its columns.
        preset["join"] = {**preset.get("join", {}), **value["join"]}
        value = {key: each for key, each in value.items() if key != "join"}
    return preset | value


@contextmanager
def name_preset(preset: str | None) -> Iterator[None]:
    """Name the preset in errors of a list that it describes: the list is most likely another.

    Raises:
        ConfigError, ListError: as in the block, with the preset; a list that is not there is no other one.
    """
    try:
        yield
    except (ConfigError, ListError) as error:
        if preset is None or isinstance(error.__cause__, FileNotFoundError):
            raise
        raise type(error)(
            f"{error}; preset {preset!r} says how the list is, so leave it out if this is another"
        ) from error


def read_preset(name: str, kind: str) -> dict[str, Any]:
    """Return the keys of a preset, without its kind.

    Raises:
        ValueError: there is none of this name, or it is of another kind.
    """
    known = list_presets()
    if name not in known:
        near = difflib.get_close_matches(name, known, 1, 0.5)
        advice = f"the nearest is {near[0]!r}" if near else f"presets are {', '.join(known)}"
        raise ValueError(f"there is no preset {name!r}; {advice}")
    content: dict[str, Any] = yaml.safe_load((_FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    if (of_kind := content.pop("kind", "table")) != kind:
        raise ValueError(f"preset {name!r} is of a {of_kind} list; say `kind: {of_kind}`")
    return content


def list_presets() -> list[str]:
    """Return the names of the presets."""
    return sorted(path.stem for path in _FOLDER.glob("*.yaml"))
