"""The checkpoint of a training: one file below a folder or URL, written whole or not at all."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any, BinaryIO

from pipelines.errors import ConfigError, StorageError
from pipelines.store.json_file import read_mapping
from pipelines.store.root import Root
from schemas.recipe import Recipe

if TYPE_CHECKING:
    import torch

_FILE = "checkpoint.pt"
_CURVES = "curves.json"

# What decides whether a checkpoint is of this training, and its type.
_KEYS = {"identity": dict, "recipe": dict, "steps": int, "step": int}

# What reading the content of a checkpoint may raise.
_DAMAGE = (
    *(ArithmeticError, AttributeError, EOFError, LookupError, OSError),
    *(RuntimeError, TypeError, UnpicklingError, ValueError),
)

State = dict[str, Any]


def write_checkpoint(folder: Root, state: State, curves: dict[str, Any]) -> None:
    """Write a checkpoint and, for whoever watches, its curves.

    Args:
        folder: of the training.
        state: numbers, texts and tensors, in lists and dicts.
        curves: as JSON.
    """
    import torch

    with folder.write_atomically(_FILE) as path:
        torch.save(state, path)
    folder.write_json(_CURVES, curves)


def read_curves(folder: Root) -> dict[str, Any] | None:
    """Return the curves of a training up to its last checkpoint; None before the first, or if damaged."""
    try:
        curves = read_mapping(folder, _CURVES, "run the training again")
    except (FileNotFoundError, StorageError):
        return None
    is_whole = all(type(curves.get(key)) is int for key in ("step", "steps", "epoch"))
    return curves if is_whole and isinstance(curves.get("losses"), list) else None


def read_checkpoint(folder: Root, device: torch.device) -> State | None:
    """Return the last checkpoint of a folder; None if there is none.

    Args:
        folder: of the training.
        device: for its tensors.

    Raises:
        StorageError: it cannot be read.
    """
    import torch

    if not folder.exists(_FILE):
        return None
    with as_damage(folder), folder.open(_FILE) as file:
        _check_archive(file)
        state: State = torch.load(file, map_location=device, weights_only=True)
        if wrong := [key for key, kind in _KEYS.items() if not isinstance(state.get(key), kind)]:
            raise ValueError(f"its {wrong[0]} is none")
        if not 0 <= state["step"] <= state["steps"]:
            raise ValueError(f"it has {state['step']} of {state['steps']} steps")
    return state


def _check_archive(file: BinaryIO) -> None:
    """Refuse a checkpoint that unpacks to more than it has: torch writes its tensors as they are."""
    try:
        with zipfile.ZipFile(file) as archive:
            packed = [info for info in archive.infolist() if info.file_size != info.compress_size]
    except zipfile.BadZipFile as error:
        raise ValueError(str(error)) from error
    if packed:
        raise ValueError(f"its {packed[0].filename[:80]} is compressed")
    file.seek(0)


@contextmanager
def as_damage(folder: Root) -> Iterator[None]:
    """Turn what a checkpoint raises while it is read into one sentence: it is data, and may hold anything.

    Raises:
        StorageError: in place of such an error.
    """
    try:
        yield
    except _DAMAGE as error:
        # torch adds advice to load it without its guard.
        holds_more = isinstance(error, UnpicklingError)
        reason = "it holds more than numbers, texts and tensors" if holds_more else str(error)
        first = (reason or type(error).__name__).splitlines()[0][:200]
        raise StorageError(
            f"checkpoint {folder.url}/{_FILE} is damaged ({first}); remove it, and run the command again"
        ) from error


def check_checkpoint(folder: Root, state: State, identity: State, recipe: Recipe, steps: int) -> None:
    """Refuse a checkpoint of another training.

    Args:
        folder: of the training.
        state: that was found there.
        identity: of the task.
        recipe: of the training.
        steps: in all.

    Raises:
        ConfigError: task, recipe or, where the rates depend on it, the number of steps differs.
    """
    place = f"{folder.url}/{_FILE}"
    saved: State = state["identity"]
    if differing := _list_differing(saved, identity):
        key = differing[0]
        raise ConfigError(
            f"{place} holds a training of {_name_task(saved)} with {key} {saved.get(key)!r}, not "
            f"{identity.get(key)!r}; finish that one or remove the file"
        )
    if differing := _list_differing(state["recipe"], recipe.describe()):
        if differing == ["seed"]:
            raise ConfigError(_format_steps(place, state, recipe, steps))
        key = differing[0]
        raise ConfigError(
            f"{place} holds a training of {_name_task(saved)} with {key} {state['recipe'].get(key)!r}, not "
            f"{recipe.describe().get(key)!r}; finish that one or remove the file"
        )
    done, before = state["step"], state["steps"]
    if done > steps or (before != steps and _differ_rates(recipe, done, before, steps)):
        raise ConfigError(_format_steps(place, state, recipe, steps))


def _list_differing(saved: State, asked: State) -> list[str]:
    differing = (key for key in saved.keys() | asked.keys() if saved.get(key) != asked.get(key))
    # A setting says more than the number of weights that follows from it.
    return sorted(differing, key=lambda key: (key == "weights", key))


def _name_task(identity: State) -> str:
    return str(identity.get("task", "another task")).rpartition(":")[2]


def _differ_rates(recipe: Recipe, done: int, before: int, now: int) -> bool:
    """Return whether steps that were taken would have had other rates: until they do, a training may grow."""
    schedule = recipe.schedule
    return any(
        schedule.compute_factor(step, before) != schedule.compute_factor(step, now) for step in range(done)
    )


def _format_steps(place: str, state: State, recipe: Recipe, steps: int) -> str:
    return (
        f"{place} holds a training of {state['steps']} steps from seed {state['recipe'].get('seed')}, not of "
        f"{steps} from {recipe.seed}; finish that one or remove the file"
    )
