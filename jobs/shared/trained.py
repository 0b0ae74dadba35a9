"""What was trained on a root: its translators and models, for `status`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError

from pipelines.errors import StorageError
from pipelines.store.root import Root

ReadScores = Callable[[Root, str], dict[str, float]]


def list_trained(root: Root) -> list[dict[str, Any]]:
    """Return kind, name and scores of everything that was trained on a root; `scores` is None if damaged."""
    from pipelines.store import models
    from pipelines.translate import translator

    kinds: tuple[tuple[str, list[str], ReadScores], ...] = (
        ("translator", translator.list_names(root), _read_translator),
        ("model", models.list_models(root), _read_model),
    )
    return [
        {"kind": kind, "name": name, "scores": _try(read, root, name)}
        for kind, names, read in kinds
        for name in names
    ]


def _read_translator(root: Root, name: str) -> dict[str, float]:
    from pipelines.translate import translator

    return {"cosine": translator.read_card(root, name).scores.cosine}


def _read_model(root: Root, name: str) -> dict[str, float]:
    from pipelines.store import models

    card = models.read_model(root, name)
    return card.scores or ({} if card.loss is None else {"loss": card.loss})


def _try(read: ReadScores, root: Root, name: str) -> dict[str, float] | None:
    try:
        return read(root, name)
    except (StorageError, ValidationError):
        return None  # the verbs that need the card say what is wrong with it


def format_trained(trained: list[dict[str, Any]]) -> str:
    """Return a line for every model, and one for all translators with the best of them."""
    lines = []
    translators = [each for each in trained if each["kind"] == "translator"]
    if translators:
        best = max(translators, key=lambda each: (each["scores"] or {}).get("cosine", -2.0))
        lines.append(
            f"   translators  {len(translators):,}, the best {best['name']}  {_format_scores(best['scores'])}"
        )
    lines += [
        f"   model  {each['name']}  {_format_scores(each['scores'])}"
        for each in trained
        if each["kind"] == "model"
    ]
    return "\n".join(lines)


def _format_scores(scores: Mapping[str, float] | None) -> str:
    if scores is None:
        return "a damaged card; train it again"
    # A card may come from anybody: its words are not the terminal's to obey.
    return ", ".join(
        f"{ascii(name)[1:-1]} {value:.{'3f' if abs(value) < 1e6 else '3g'}}" for name, value in scores.items()
    )
