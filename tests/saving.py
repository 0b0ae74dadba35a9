"""What a training leaves, written without one."""

from pydantic import BaseModel

from pipelines.store.models import FOLDER, hash_files
from pipelines.store.root import Root
from pipelines.translate.translator import WEIGHTS
from schemas.model_card import ModelCard
from schemas.recipe import Recipe
from schemas.translator_card import TranslatorCard


def save_translator(root: Root, card: TranslatorCard, weights: bytes) -> None:
    """Write a translator, the card last."""
    root.write(f"translators/{card.name}/{WEIGHTS}", weights)
    _write_card(root, f"translators/{card.name}", card)


def save_model_card(root: Root, name: str) -> None:
    """Write the card of files that lie in models/NAME."""
    from pathlib import Path

    files = hash_files(Path(root.get_path(f"{FOLDER}/{name}")))
    card = ModelCard(
        name=name, task={"task": "toy"}, recipe=Recipe(steps=1), steps=1, seconds=0, parameters=1, loss=None,
        files=files,
    )  # fmt: skip
    _write_card(root, f"{FOLDER}/{name}", card)


def _write_card(root: Root, folder: str, card: BaseModel) -> None:
    root.write(f"{folder}/card.json", (card.model_dump_json(indent=2, by_alias=True) + "\n").encode())
