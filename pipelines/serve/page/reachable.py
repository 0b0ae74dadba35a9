"""What can be asked of a dataset: the columns in reach of a text, picture or sound, and why not the rest."""

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
    """The ways of one kind of question into a dataset.

    Attributes:
        columns: that it can search, directly or by a translator; in the order of the page.
        crossings: column -> names of the translators that lead to it, where it takes one.
        why_not: a sentence for what is there and out of reach; empty if all is in reach.
    """

    columns: tuple[Column, ...]
    crossings: Mapping[Column, tuple[str, ...]]
    why_not: str

    def best(self, asks: Asks, wanted: Column | None) -> Column | None:
        """Return the column to search: the wanted one if it is in reach, else what suits the question."""
        if wanted in self.columns:
            return wanted
        usual = _BEST.get(asks, "clip_image")
        return usual if usual in self.columns else next(iter(self.columns), None)

    def through(self, into: Column | None, wanted: str | None) -> str | None:
        """Return the translator that leads to a column: the wanted one if it does; None if none is needed."""
        names = self.crossings.get(into, ()) if into else ()
        return wanted if wanted in names else next(iter(names), None)


def find_reachable(about: About, asks: Asks) -> Reachability:
    """Return where a kind of question can lead.

    Args:
        about: what the service says of itself.
        asks: the kind of question; `key` is "more like this".
    """
    there = [column for column in _ORDER if column in about.columns]
    crossings = {
        column: names
        for column in there
        if not _directly(asks, column) and (names := _translators(about, asks, column))
    }
    columns = tuple(column for column in there if _directly(asks, column) or column in crossings)
    beyond = [column for column in there if column not in columns]
    return Reachability(columns, crossings, _why_not(asks, beyond) or _missing(about))


def _directly(asks: Asks, column: Column) -> bool:
    return _OWN.get(asks, family_of(column)) == family_of(column)


def _translators(about: About, asks: Asks, column: Column) -> tuple[str, ...]:
    return tuple(
        card.name
        for card in about.translators
        if family_of(card.source) == _OWN.get(asks) and family_of(card.target) == family_of(column)
    )


def _why_not(asks: Asks, beyond: list[Column]) -> str:
    if not beyond:
        return ""
    family, other = _OWN[asks], family_of(beyond[0])
    return (
        f"{_A[asks]} cannot search {_listed(beyond)}: that takes a translator from {family} to {other}, and "
        "none is here. `echolens train` makes one."
    )


def _missing(about: About) -> str:
    """What no question reaches, because the version has no index of it."""
    missing = [column for column in _ORDER if column not in about.columns]
    return f"Version {about.version} has no index of {_listed(missing)}." if missing else ""


def _listed(columns: list[Column]) -> str:
    words = [COLUMN_WORDS[column] for column in columns]
    return " or ".join(f"{word[:1].lower()}{word[1:]}" for word in words)
