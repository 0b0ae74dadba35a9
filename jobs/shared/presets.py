"""Presets of trainings: those that ship with the project, and files of one's own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from jobs.shared.job import read_content
from pipelines.errors import ConfigError
from pipelines.store.trust import check_trust, find_enclosing_root, make_untrusted_error
from pipelines.store.validation import check_content
from schemas.training import PresetSeries, TaskPreset, TrainingPreset

_PRESETS = Path(__file__).parents[1] / "presets"
_YAML = (".yaml", ".yml")
_TRANSLATORS = "translators"


def read_preset(name: str, overrides: Sequence[str]) -> TrainingPreset | TaskPreset | PresetSeries:
    """Return a shipped preset by its name, or of a YAML file: translators, another task, or several.

    Args:
        name: of the preset, or the path of the file.
        overrides: key.path=value.

    Raises:
        ConfigError: there is none, or a key or value is unknown.
    """
    file = Path(name) if is_file(name) else _PRESETS / f"{name}.yaml"
    if not file.is_file():
        raise ConfigError(f"{name!r} is no preset and no YAML file; presets are {', '.join(list_presets())}")
    content = read_content(str(file), overrides)
    if "presets" in content:
        return check_content(PresetSeries, content, str(file))
    if content.get("task", _TRANSLATORS) == _TRANSLATORS:
        return check_content(TrainingPreset, content, str(file))
    return check_content(TaskPreset, content, str(file))


def list_presets() -> list[str]:
    """Return the names of the shipped presets."""
    return sorted(path.stem for path in _PRESETS.glob("*.yaml"))


def is_file(name: str) -> bool:
    """Return whether a preset is named by a file of one's own."""
    return Path(name).suffix in _YAML


def find_trusted(
    name: str, preset: TaskPreset, overrides: Sequence[str], trust: Sequence[str]
) -> frozenset[str]:
    """Return the classes of a preset that may be imported: the person has named them.

    Args:
        name: of the preset, or the path of the file.
        preset: that was read there.
        overrides: key.path=value; a class in them is named by the person.
        trust: classes that the person has named, as module:Class.

    Raises:
        ConfigError: the file lies in a root, which may come from anybody, and names a class.
    """
    check_trust(trust)
    named = frozenset(trust) | {each.partition("=")[2] for each in overrides if each.startswith("task=")}
    if ":" not in preset.task or preset.task in named:
        return named
    if is_file(name) and (enclosing := find_enclosing_root(Path(name))):
        raise make_untrusted_error({preset.task: "task"}, f"{name}, a file of the root {enclosing},")
    return named | {preset.task}
