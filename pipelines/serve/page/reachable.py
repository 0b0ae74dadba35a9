"""The columns that a text, picture or sound can search, and why it cannot search the others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from schemas.about import About
from schemas.vectors import Column, Family, family_of

Asks = Literal["text", "picture", "sound", "key"]

COLUMN_WORDS: Mapping[Column, str] = {
    "clip_image": "Pictures",
    "clap_audio": "Sounds",
    "clip_text": "Captions (CLIP)",
    "clap_text": "Captions (CLAP)",
}
# The order of the choices: what has media first.
_ORDER: tuple[Column, ...] = ("clip_image", "clap_audio", "clip_text", "clap_text")
# In whose space a question begins; a text and a row have a vector in both.
_OWN: Mapping[Asks, Family] = {"picture": "clip", "sound": "clap"}
_BEST: Mapping[Asks, Column] = {"sound": "clap_audio"}
_A: Mapping[Asks, str] = {"picture": "A picture", "sound": "A sound"}


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
        usual = _BEST.get(asks, "clip_image")
        return usual if usual in self.columns else next(iter(self.columns), None)

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
    there = [column for column in _ORDER if column in about.columns]
    translators = {
        column: names
        for column in there
        if not _is_direct(asks, column) and (names := _list_translators(about, asks, column))
    }
    columns = tuple(column for column in there if _is_direct(asks, column) or column in translators)
    unreachable = [column for column in there if column not in columns]
    return Reachability(columns, translators, _explain(asks, unreachable) or _explain_missing(about))


def _is_direct(asks: Asks, column: Column) -> bool:
    return _OWN.get(asks, family_of(column)) == family_of(column)


def _list_translators(about: About, asks: Asks, column: Column) -> tuple[str, ...]:
    return tuple(
        card.name
        for card in about.translators
        if family_of(card.source) == _OWN.get(asks) and family_of(card.target) == family_of(column)
    )


def _explain(asks: Asks, unreachable: list[Column]) -> str:
    if not unreachable:
        return ""
    family, other = _OWN[asks], family_of(unreachable[0])
    return (
        f"{_A[asks]} cannot search {_join(unreachable)}: that takes a translator from {family} to {other}, "
        "and none is here. `echolens train` makes one."
    )


def _explain_missing(about: About) -> str:
    """Name the columns of which the version has no index."""
    missing = [column for column in _ORDER if column not in about.columns]
    return f"Version {about.version} has no index of {_join(missing)}." if missing else ""


def _join(columns: list[Column]) -> str:
    words = [COLUMN_WORDS[column] for column in columns]
    return " or ".join(f"{word[:1].lower()}{word[1:]}" for word in words)
