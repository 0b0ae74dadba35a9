"""The way `translator:NAME`: vectors of the source, translated into the family of the target."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from pipelines.errors import ConfigError, SpaceError
from pipelines.evaluate.bench import Bench, Crossing, Follow, Makes
from pipelines.evaluate.evaluation_set import EvaluationSet
from pipelines.evaluate.translators import FoundTranslator, find_translator
from schemas.families import Column, get_modality
from schemas.generated import ModelRef


@dataclass(frozen=True)
class TranslatorWay:
    """A trained translator.

    Attributes:
        found: the translator.
        source: the column that it is given.
    """

    found: FoundTranslator
    source: Column
    columns: tuple[Column, ...]
    models: tuple[ModelRef, ...]
    follow: Follow = field(default="output", init=False)
    makes: Makes = field(default="vectors", init=False)

    def cross(self, rows: EvaluationSet, bench: Bench) -> Crossing:  # noqa: ARG002 - has its own columns
        """Return the translated vectors."""
        translator = self.found.open()
        units_ND = translator.translate(rows.get_vectors("scored", self.source), translator.card.source_space)
        return Crossing(np.asarray(units_ND), self.found.card.target)


def make_translator_way(argument: str, bench: Bench) -> TranslatorWay:
    """Return the way.

    Raises:
        ConfigError: there is no such translator, or it leads elsewhere.
        SpaceError: it was trained between other spaces than the set's.
    """
    found = find_translator(bench, argument)
    card, way = found.card, f"way translator:{argument}"
    source = card.source if card.source in bench.spaces else bench.source
    if get_modality(source) != get_modality(bench.source):
        # Trained on captions: it may be given what is in their space.
        source = bench.source
    space = bench.spaces[source]
    if not space.is_comparable(card.source_space):
        raise SpaceError(
            f"{way} takes vectors of {card.source_space} and {source} is in {space} "
            f"({space.describe_differences(card.source_space)}); name one that begins at {source}"
        )
    if not bench.is_in_target(card.target_space):
        raise ConfigError(
            f"{way} leads to {card.target} of {card.target_space}, and {bench.direction} is scored in "
            f"{bench.target} of {bench.spaces[bench.target]}; name one that leads there"
        )
    return TranslatorWay(found, source, (source, bench.target), (found.ref,))


WAYS = {"translator": make_translator_way}
# Whether a way has to be told which; one that is not here takes no name.
NAMED = {"translator": True}
