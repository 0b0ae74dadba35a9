"""The columns that a text, picture or sound can search, and why it cannot search the others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from pipelines.lookup.reach import ColumnReach, join_names
from pipelines.report.formatting import name_column
from pipelines.translate.defaults import rank_cards
from schemas.about import About
from schemas.families import (
    FAMILIES,
    Column,
    Modality,
    find_default,
    get_family,
    get_modality,
    list_columns,
    sort_columns,
)

Asks = Literal["text", "picture", "sound", "key"]

# What is encoded; a row ("more like this") has a vector in every column that it can search.
_MODALITIES: Mapping[Asks, Modality | None] = {
    "text": "text",
    "picture": "image",
    "sound": "audio",
    "key": None,
}
_A: Mapping[Asks, str] = {"text": "A text", "picture": "A picture", "sound": "A sound"}


@dataclass(frozen=True, slots=True)
class Reachability:
    """The columns in reach of one kind of query.

    Attributes:
        columns: that it can search, directly or by a translator; in the order of the page.
        translators: column -> names of the translators that lead to it, if one is needed.
        why_not: a sentence on the columns out of reach; empty if there are none.
    """

    columns: tuple[Column, ...]
    translators: Mapping[Column, tuple[str, ...]]
    why_not: str

    def choose_column(self, asks: Asks, preferred: Column | None) -> Column | None:
        """Return the preferred column if it is in reach, else the default of the kind of query."""
        if preferred in self.columns:
            return preferred
        return find_default(_MODALITIES[asks] or "text", self.columns) if self.columns else None

    def choose_translator(self, into: Column | None, preferred: str | None) -> str | None:
        """Return the preferred translator to a column, else its first; None if none is needed."""
        names = self.translators.get(into, ()) if into else ()
        return preferred if preferred in names else next(iter(names), None)


def find_reachable(about: About, asks: Asks) -> Reachability:
    """Return the columns in reach of a kind of query.

    Args:
        about: the description of the service.
        asks: the kind of query; `key` is "more like this".
    """
    reach = ColumnReach.from_indexed({column: card.space for column, card in about.columns.items()})
    modality = _MODALITIES[asks]
    there = _sort_media_first(about.columns)
    direct = [column for column in there if modality is None or reach.find_tower(modality, column)]
    translators = {
        column: names
        for column in there
        if modality and column not in direct and (names := _list_translators(about, reach, modality, column))
    }
    columns = tuple(column for column in there if column in direct or column in translators)
    unreachable = [column for column in there if column not in columns]
    why_not = _explain(asks, reach, unreachable) or _explain_missing(about)
    return Reachability(columns, translators, why_not)


def _sort_media_first(columns: Iterable[Column]) -> list[Column]:
    """Return columns in the order of the choices: what has media first."""
    return sorted(sort_columns(columns), key=lambda column: get_modality(column) == "text")


def _list_translators(
    about: About, reach: ColumnReach, modality: Modality, column: Column
) -> tuple[str, ...]:
    # The first is the default; controls are used only by name.
    return tuple(
        card.name
        for card in rank_cards(about.translators)
        if reach.find_tower(modality, card.source) and reach.is_comparable(card.target, column)
    )


def _explain(asks: Asks, reach: ColumnReach, unreachable: list[Column]) -> str:
    modality = _MODALITIES[asks]
    if not unreachable or modality is None:
        return ""
    if not reach.has_tower(modality):
        return f"{_A[asks]} cannot search here: no encoder of this dataset embeds one."
    return (
        f"{_A[asks]} cannot search {_join(unreachable)}: that takes a translator from "
        f"{reach.describe_families(modality)} to {get_family(unreachable[0])}, and none is here. "
        "`echolens train` makes one."
    )


def _explain_missing(about: About) -> str:
    """Name the columns of which the version has no index."""
    families = {get_family(column) for column in about.columns} or set(FAMILIES)
    usual = [column for family in sorted(families) for column in list_columns(family)]
    missing = [column for column in _sort_media_first(usual) if column not in about.columns]
    return f"Version {about.version} has no index of {_join(missing)}." if missing else ""


def _join(columns: list[Column]) -> str:
    return join_names(f"{word[:1].lower()}{word[1:]}" for word in map(name_column, columns))
