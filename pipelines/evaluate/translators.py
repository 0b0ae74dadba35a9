"""Translators by the names that ways give: those of the dataset, the shipped one, and the default."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.errors import ConfigError
from pipelines.evaluate.bench import Bench
from pipelines.store.root import Root
from pipelines.translate.defaults import DEFAULT, find_default
from pipelines.translate.shipped import ALIAS, find_shipped, get_shipped_root, list_shipped
from pipelines.translate.translator import Translator, find_card
from schemas.families import Column, get_modality
from schemas.generated import ModelRef
from schemas.translator_card import TranslatorCard


@dataclass(frozen=True)
class FoundTranslator:
    """A translator that was found, not yet loaded.

    Attributes:
        root: that it lies in.
        card: of it.
        is_shipped: whether it was trained on the miniature world, and not on rows of a dataset.
    """

    root: Root
    card: TranslatorCard
    is_shipped: bool = False

    @property
    def ref(self) -> ModelRef:
        """Its name and weights."""
        return ModelRef(name=self.card.name, weights_sha256=self.card.weights_sha256)

    def open(self) -> Translator:
        """Load it."""
        return Translator.open(self.root, self.card.name)


def find_translator(bench: Bench, name: str) -> FoundTranslator:
    """Return a translator by its name.

    Raises:
        ConfigError: there is none.
    """
    if name == DEFAULT:
        if (found := find_default_translator(bench)) is not None:
            return found
        raise ConfigError(
            f"way translator:default: nothing leads from {bench.source} to {bench.target} here; train a "
            "translator, or name another way"
        )
    if name == ALIAS:
        return _find_pocket(bench)
    if bench.root is None:
        raise ConfigError(
            f"way translator:{name}: the miniature world has one translator, {ALIAS}; name that, or give a "
            "dataset whose translators you mean"
        )
    shipped = find_shipped(bench.root, name) is not None
    return FoundTranslator(bench.root, find_card(bench.root, name), is_shipped=shipped)


def find_default_translator(bench: Bench) -> FoundTranslator | None:
    """Return the default translator of a direction; None if nothing leads from its source to its target.

    It is the dataset's, or of the miniature world the one that ships. One that leads to captions of the
    target's family is taken where none leads to the target itself.
    """
    if bench.root is None:
        return _find_shipped(bench)
    card = find_default(bench.root, bench.spaces, *_list_ends(bench))
    if card is None:
        return None
    return FoundTranslator(bench.root, card, is_shipped=find_shipped(bench.root, card.name) is not None)


def _find_pocket(bench: Bench) -> FoundTranslator:
    found = _find_shipped(bench)
    if found is None:
        raise ConfigError(
            f"way translator:{ALIAS}: none ships from {bench.source} to {bench.target}; name another way"
        )
    return found


def _find_shipped(bench: Bench) -> FoundTranslator | None:
    """Return the shipped translator of a direction, if its spaces are those of the set."""
    sources, targets = _list_ends(bench)
    for card in list_shipped(bench.spaces):
        if card.source in sources and card.target in targets:
            return FoundTranslator(get_shipped_root(), card, is_shipped=True)
    return None


def _list_ends(bench: Bench) -> tuple[list[Column], list[Column]]:
    """Return the columns that a translator may begin at, and those that it may end at, the usual first."""
    modality = get_modality(bench.source)
    sources = [bench.source, *(column for column in bench.spaces if get_modality(column) == modality)]
    targets = [bench.target, *filter(None, [bench.find_text_column(bench.target)])]
    return list(dict.fromkeys(sources)), list(dict.fromkeys(targets))
