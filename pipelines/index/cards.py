"""The cards of a version's indices."""

from __future__ import annotations

from pipelines.store.root import Root
from schemas.index_card import IndexCard
from schemas.vectors import Column
from schemas.version import Version


def read_cards(root: Root, version: Version) -> dict[Column, tuple[str, IndexCard]]:
    """Return column -> where its index lies below the root, and the card beside it."""
    cards: dict[Column, tuple[str, IndexCard]] = {}
    for entry in version.indices:
        if entry.path.endswith(".json"):
            card = IndexCard.model_validate_json(root.read(entry.path))
            cards[card.column] = (entry.path.removesuffix(".json") + ".faiss", card)
    return cards


def find_shortfalls(root: Root, version: Version) -> list[str]:
    """Return a sentence for every index of a version that finds less than was wanted."""
    return [said for _, card in read_cards(root, version).values() if (said := card.shortfall())]
