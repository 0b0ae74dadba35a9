"""models/NAME/: what a task has left on a root. Translators have a folder of their own."""

from __future__ import annotations

import hashlib
from pathlib import Path

from pipelines.errors import ConfigError, StorageError
from pipelines.store.cards import CARD, find_card, list_cards
from pipelines.store.root import Root
from schemas.model_card import ModelCard

FOLDER = "models"


def hash_files(folder: Path) -> dict[str, str]:
    """Return the sha256 of every file below a folder, by its path there."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return {file.relative_to(folder).as_posix(): _hash_file(file) for file in files}


def _hash_file(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def list_models(root: Root) -> list[str]:
    """Return the names of the models of a root."""
    return list_cards(root, FOLDER)


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
    return find_card(root, FOLDER, name, ModelCard)


def find_model_folder(root: Root, name: str) -> Path:
    """Return the folder of a model, whose files are those of its card.

    Args:
        root: a folder of this machine.
        name: of the model.

    Raises:
        ConfigError: there is no such model, or the root lies elsewhere.
        StorageError: a file is missing, or not the one of the card.
    """
    card = read_model(root, name)
    if not root.is_local:
        raise ConfigError(
            f"model {name!r} lies in {root.url}, from where no weights are read; copy {FOLDER}/{name} to "
            "every machine, and name that folder in its place"
        )
    own = root.enter(f"{FOLDER}/{name}")
    for file, sha256 in card.files.items():
        if not own.exists(file):
            raise StorageError(f"model {name!r} has no {file}; train it again")
        if own.compute_sha256(file) != sha256:
            raise StorageError(f"{file} of model {name!r} is not that of its card; train it again")
    folder = Path(own.url)
    # Libraries look into the folder by themselves, and would find what the card says nothing of.
    for path in folder.rglob("*"):
        found = path.relative_to(folder).as_posix()
        if (path.is_symlink() or not path.is_dir()) and found not in {CARD, *card.files}:
            raise StorageError(f"model {name!r} has {found}, which its card does not name; remove that file")
    return folder
