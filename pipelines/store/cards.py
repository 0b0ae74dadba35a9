"""What was trained on a root: PLACE/NAME/card.json, written after the files beside it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

from pipelines.errors import ConfigError, StorageError
from pipelines.store.json_file import read_json
from pipelines.store.root import Root

CARD = "card.json"

C = TypeVar("C", bound=BaseModel)


def list_cards(root: Root, place: str) -> list[str]:
    """Return the names of all folders of a place that have a card."""
    return [name for name in root.list_names(place) if root.exists(_make_path(place, name))]


def read_card(root: Root, place: str, name: str, model: type[C]) -> C:
    """Return a card that is there.

    Raises:
        StorageError: it is damaged.
    """
    return read_json(root, _make_path(place, name), model, "train it again")


def find_card(root: Root, place: str, name: str, model: type[C]) -> C:
    """Return a card that a user named.

    Args:
        root: of the dataset.
        place: the folder of cards of this kind: the plural of what they are.
        name: of the card's folder.
        model: of the card.

    Raises:
        ConfigError: there is none of this name; the error lists the names there are.
        StorageError: the card is damaged.
    """
    if name not in (names := list_cards(root, place)):
        known = ", ".join(names) or "none; `echolens train` makes them"
        raise ConfigError(f"{root.url} has no {place.removesuffix('s')} {name!r}; it has: {known}")
    card = read_card(root, place, name, model)
    if (own := getattr(card, "name", name)) != name:
        # Its name leads to its files.
        file = f"{root.url}/{_make_path(place, name)}"
        raise StorageError(f"{file} is the card of {own!r}; put it back there, or train {name!r} again")
    return card


def write_card(root: Root, place: str, card: BaseModel, folder: Path) -> None:
    """Copy the files of what was trained to a root, then write its card.

    An earlier card of this name goes first, so that none is ever read beside files of another.

    Args:
        root: of the dataset.
        place: the folder of cards of this kind.
        card: of the files.
        folder: of the files, under the name of the card.
    """
    own = f"{place}/{folder.name}"
    for name in (CARD, *root.list_sizes(own)):
        root.remove(f"{own}/{name}")
    for file in sorted(file for file in folder.rglob("*") if file.is_file()):
        with root.write_atomically(f"{own}/{file.relative_to(folder).as_posix()}") as path:
            shutil.copyfile(file, path)
    root.write(
        _make_path(place, folder.name), (card.model_dump_json(indent=2, by_alias=True) + "\n").encode()
    )


def _make_path(place: str, name: str) -> str:
    return f"{place}/{name}/{CARD}"
