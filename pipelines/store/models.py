"""models/NAME/: what was trained on a root, its card written last. Translators have their own folder."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from pydantic import BaseModel, ValidationError

from pipelines.errors import ConfigError, StorageError
from pipelines.store.root import Root
from schemas.model_card import ModelCard

FOLDER = "models"
_CARD = "card.json"


def hash_files(folder: Path) -> dict[str, str]:
    """Return the sha256 of every file below a folder, by its path there."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return {file.relative_to(folder).as_posix(): _hash_file(file) for file in files}


def _hash_file(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def list_models(root: Root) -> list[str]:
    """Return the names of the models of a root."""
    return [name for name in root.list_names(FOLDER) if root.exists(f"{FOLDER}/{name}/{_CARD}")]


def read_models(root: Root) -> list[ModelCard]:
    """Return the cards of all models of a root, by name.

    Raises:
        StorageError: a card is damaged.
    """
    return [read_model(root, name) for name in list_models(root)]


def read_model(root: Root, name: str) -> ModelCard:
    """Return the card of a model that a user named.

    Raises:
        ConfigError: there is none of this name; the error lists the names there are.
        StorageError: its card is damaged.
    """
    if name not in (names := list_models(root)):
        known = ", ".join(names) or "none; `echolens train` makes them"
        raise ConfigError(f"{root.url} has no model {name!r}; it has: {known}")
    file = f"{FOLDER}/{name}/{_CARD}"
    try:
        return ModelCard.model_validate_json(root.read(file))
    except ValidationError as error:
        raise StorageError(
            f"{root.url}/{file} is damaged ({error.error_count()} wrong keys); train it again"
        ) from error


def save_exported(root: Root, place: str, card: BaseModel, folder: Path) -> None:
    """Copy the files of what was trained to a root, and write its card last.

    Args:
        root: of the dataset.
        place: the folder of the root for cards of this kind.
        card: whose `name` is that of the folder; an earlier one of this name is replaced.
        folder: of its files.
    """
    own = f"{place}/{folder.name}"
    if place == FOLDER:
        # A model without a card is none: readers never see files of two.
        for name in (_CARD, *root.list_sizes(own)):
            root.remove(f"{own}/{name}")
    for file in sorted(file for file in folder.rglob("*") if file.is_file()):
        with root.write_atomically(f"{own}/{file.relative_to(folder).as_posix()}") as path:
            shutil.copyfile(file, path)
    root.write(f"{own}/{_CARD}", (card.model_dump_json(indent=2, by_alias=True) + "\n").encode())


def fetch_model(root: Root, name: str, into: Path) -> ModelCard:
    """Copy the files of a model to a folder of this machine, checked against its card; return the card.

    Raises:
        ConfigError: there is no such model.
        StorageError: a file is missing, or not the one of the card.
    """
    card = read_model(root, name)
    for file, sha256 in card.files.items():
        if file.startswith("/") or ".." in Path(file).parts:
            raise StorageError(f"the card of model {name!r} names {file!r}, outside of it; train it again")
        try:
            data = root.read(f"{FOLDER}/{name}/{file}")
        except FileNotFoundError as error:
            raise StorageError(f"model {name!r} has no {file}; train it again") from error
        if hashlib.sha256(data).hexdigest() != sha256:
            raise StorageError(f"{file} of model {name!r} is not that of its card; train it again")
        (into / file).parent.mkdir(parents=True, exist_ok=True)
        (into / file).write_bytes(data)
    return card
