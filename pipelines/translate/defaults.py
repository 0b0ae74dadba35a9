"""The translator that is taken where none is named: translators/default.json, written after each training.

Of each direction (`clip_image -> clap_audio`) it is the one that comes nearest to the validation pairs, by
the mean cosine over their groups; of equals the one with the fewest weights. Closed forms stand beside nets.
Maps that ignore the data are controls: no default, and used only by name, as those that ship are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from pydantic import Field

from pipelines.errors import StorageError
from pipelines.store.json_file import read_json
from pipelines.store.root import Root
from pipelines.translate.shipped import ALIAS, list_shipped
from pipelines.translate.translator import FOLDER, read_cards
from schemas.families import Column
from schemas.names import PartName
from schemas.space import Space
from schemas.strict import StrictModel
from schemas.translator_card import TranslatorCard

CONTROLS = frozenset({"random", "mean", "identity", "mean_shift"})
FILE = f"{FOLDER}/default.json"
# The name that stands for it.
DEFAULT = "default"
# Digits of a cosine beyond which two translators are equal.
_DIGITS = 4


class DefaultTranslators(StrictModel):
    """default.json."""

    by_direction: dict[str, PartName] = Field(description="`from -> to` -> the name of a translator")


def rank_cards(cards: Iterable[TranslatorCard], direction: str | None = None) -> list[TranslatorCard]:
    """Return cards without the controls, the best first.

    Args:
        cards: of one root; those of its newest version that was trained on come first.
        direction: `from -> to`: others are left out; None for each in its own.
    """
    ranked = [
        card
        for card in cards
        if card.method not in CONTROLS and get_validation(card, direction or _own(card)) is not None
    ]
    return sorted(ranked, key=lambda card: _rank(card, direction or _own(card)))


def _own(card: TranslatorCard) -> str:
    return card.data[0].direction


def _rank(card: TranslatorCard, direction: str) -> tuple[float, ...]:
    cosine = get_validation(card, direction)
    assert cosine is not None
    return (-card.version, -round(cosine, _DIGITS), card.parameters)


def get_validation(card: TranslatorCard, direction: str) -> float | None:
    """Return how near a translator comes to the validation pairs of a direction; None if it has none."""
    if direction in card.validation:
        return card.validation[direction].cosine
    # Of a card that was written without: the mean over all of its pairs.
    return card.validation_cosine if direction == _own(card) else None


def choose_defaults(cards: Sequence[TranslatorCard]) -> dict[str, str]:
    """Return direction -> the name of its default translator."""
    directions = dict.fromkeys(each for card in cards for each in (*card.validation, _own(card)))
    ranked = {direction: rank_cards(cards, direction) for direction in directions}
    return {direction: found[0].name for direction, found in ranked.items() if found}


def write_defaults(root: Root) -> dict[str, str]:
    """Choose the defaults of a root among all of its translators; write and return them."""
    chosen = choose_defaults(read_cards(root))
    root.write_json(FILE, DefaultTranslators(by_direction=chosen).model_dump())
    return chosen


def read_defaults(root: Root, cards: Sequence[TranslatorCard]) -> Mapping[str, str]:
    """Return direction -> the name of its default; chosen now where the file is missing or out of date.

    Args:
        root: of the translators.
        cards: of all of them.
    """
    names = {card.name for card in cards}
    try:
        stored = read_json(root, FILE, DefaultTranslators, "train again").by_direction
    except (FileNotFoundError, StorageError):
        stored = {}
    chosen = choose_defaults(cards)
    return chosen | {direction: name for direction, name in stored.items() if name in names}


def find_default(
    root: Root, spaces: Mapping[Column, Space], sources: Sequence[Column], targets: Sequence[Column]
) -> TranslatorCard | None:
    """Return the default translator between some columns; None if the root has none.

    Args:
        root: of the translators.
        spaces: of the columns of the set that is at work; translators of another set are left out.
        sources: columns that it may begin at.
        targets: columns that it may end at; an earlier one is preferred.
    """
    cards = {card.name: card for card in read_cards(root) if is_usable(card, spaces)}
    chosen = read_defaults(root, [*cards.values()])
    directions = (f"{source} -> {target}" for target in targets for source in sources)
    name = next((chosen[direction] for direction in directions if direction in chosen), None)
    return None if name is None else cards[name]


def resolve_alias(
    root: Root, spaces: Mapping[Column, Space], name: str, ends: tuple[Sequence[Column], Sequence[Column]]
) -> str:
    """Return the translator that a name stands for: `default` and `pocket` depend on where it is to lead.

    Args:
        root: of the translators.
        spaces: of the columns of the set that is at work.
        name: as it was given.
        ends: columns that it may begin at, and that it may end at.
    """
    if name == ALIAS:
        sources, targets = ends
        fitting = [card for card in list_shipped(spaces) if card.source in sources and card.target in targets]
        return fitting[0].name if fitting else name
    if name == DEFAULT and (card := find_default(root, spaces, *ends)) is not None:
        return card.name
    return name


def is_usable(card: TranslatorCard, spaces: Mapping[Column, Space]) -> bool:
    """Return whether a translator begins and ends in the spaces of a set."""
    ends = ((card.source, card.source_space), (card.target, card.target_space))
    return all(column in spaces and spaces[column].is_comparable(space) for column, space in ends)
