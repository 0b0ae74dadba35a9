"""The translators that ship with the project, of the miniature world: one from pictures to sounds, one back.

Each is a NAME in every root whose spaces are those of pocket CLIP and CLAP, unless the root has its own of
that name; `pocket` is the one that leads where it is asked to. They were trained on combinations that may be
trained on alone (`pipelines/train/pocket/crossing.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from pipelines.store import cards
from pipelines.store.dataset_file import read_spaces, read_stored
from pipelines.store.root import Root
from schemas.families import Column
from schemas.space import Space
from schemas.translator_card import TranslatorCard

# Of the one that fits.
ALIAS = "pocket"
NAMES = ("picture_to_sound", "sound_to_picture")
PLACE = "translators"
_WEIGHTS = Path(__file__).parents[1] / "miniature" / "weights"


def get_shipped_root() -> Root:
    """Return the folder in which the shipped ones lie as a root's own do."""
    return Root.from_url(str(_WEIGHTS))


def list_shipped(spaces: Mapping[Column, Space]) -> list[TranslatorCard]:
    """Return the cards of the shipped translators that begin and end in some spaces, as these are stored."""
    root = get_shipped_root()
    found = (cards.read_card(root, PLACE, name, TranslatorCard) for name in cards.list_cards(root, PLACE))
    return [fitted for card in found if (fitted := fit_card(card, spaces)) is not None]


def find_shipped(root: Root, name: str) -> TranslatorCard | None:
    """Return the card of a shipped translator for a root; None if it is none, or the root has its own."""
    if name not in NAMES or name in cards.list_cards(root, PLACE):
        return None
    for spaces in _list_spaces(root):
        if (card := next((each for each in list_shipped(spaces) if each.name == name), None)) is not None:
            return card
    return None


def fit_card(card: TranslatorCard, spaces: Mapping[Column, Space]) -> TranslatorCard | None:
    """Return a card with the spaces of a set in place of its own, or None if these are of other weights.

    Another precision or version of a library changes the last digits of a vector, and no meaning.

    Args:
        card: of a shipped translator.
        spaces: of the columns of the set.
    """
    source, target = spaces.get(card.source), spaces.get(card.target)
    if source is None or target is None:
        return None
    if (source.identity, target.identity) != (card.source_space.identity, card.target_space.identity):
        return None
    return card.model_copy(update={"source_space": source, "target_space": target})


def _list_spaces(root: Root) -> Iterable[Mapping[Column, Space]]:
    if not root.exists("dataset.json"):
        return
    for name in read_stored(root).sets:
        yield read_spaces(root, name)
