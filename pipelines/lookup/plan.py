"""A query -> its plan: what is searched with which vector, or why it cannot be; loads no model."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipelines.errors import ConfigError, SpaceError
from pipelines.index.neighbours import KeyFilter
from pipelines.lookup.rows import VersionRows
from schemas.index_card import IndexCard
from schemas.query import Query
from schemas.space import Space
from schemas.translator_card import TranslatorCard
from schemas.vectors import COLUMNS, Column, Family, Modality, family_of

_WORDS: Mapping[Modality, str] = {"text": "text", "image": "picture", "audio": "sound"}
_FORMATS: Mapping[Modality, str] = {"image": "a JPEG, PNG or WebP", "audio": "a WAV, FLAC, OGG or MP3"}
_COLUMNS_IN: Mapping[Family, str] = {"clip": "clip_image or clip_text", "clap": "clap_audio or clap_text"}
_OWN: Mapping[Modality, Family] = {"image": "clip", "audio": "clap"}


@dataclass(frozen=True, slots=True, eq=False)
class QueryVector:
    """A vector of length 1, float32 [D], and the space that it is in."""

    unit_D: np.ndarray
    space: Space


@dataclass(frozen=True, slots=True, eq=False)
class QueryPlan:
    """A query that can be answered, and how.

    Attributes:
        query: as it was received.
        into: the column that is searched.
        key_filter: the keys that may be returned; None for all.
        modality: of the text, picture or sound to encode; None if the query has a vector.
        family: of the encoder that the query needs, or of its vector.
        vector: of a query by vector or key, before translation; None for media.
        via: the card of the translator into the space of `into`.
    """

    query: Query
    into: Column
    key_filter: KeyFilter | None
    modality: Modality | None
    family: Family
    vector: QueryVector | None = None
    via: TranslatorCard | None = None


def make_unreadable_error(modality: Modality, reason: str) -> ConfigError:
    """Return the error of a text, picture or sound that cannot be read."""
    if modality == "text":
        return ConfigError(f"the text cannot be read ({reason}); give words")
    return ConfigError(f"the {_WORDS[modality]} cannot be read ({reason}); give {_FORMATS[modality]}")


def choose_column(query: Query, via: TranslatorCard | None) -> Column:
    """Return the column that a query searches: its own, else the translator's target, else a default."""
    beyond = via.target if via else None
    return query.into or beyond or ("clip_image" if query.sound is None else "clap_audio")


def plan_query(
    query: Query,
    cards: Mapping[Column, IndexCard],
    rows: VersionRows,
    via: TranslatorCard | None,
    key_filter: KeyFilter | None,
) -> QueryPlan:
    """Return the plan of a query.

    Args:
        query: to plan.
        cards: of the columns that can be searched.
        rows: of the version.
        via: the card of the translator that the query names.
        key_filter: the keys that may be returned; None for all.

    Raises:
        ConfigError: the text is empty, a vector has no direction, a row no vector, or the column no index.
        SpaceError: the query cannot be compared with the column.
    """
    into = choose_column(query, via)
    check_column(into, cards)
    if query.vector is not None:
        _check_ends(via, into)
        space = via.source_space if via else cards[into].space
        family = family_of(via.source if via else into)
        return QueryPlan(query, into, key_filter, None, family, _normalize(query.vector, space), via)
    if query.key is not None:
        return _plan_key(query, query.key, into, rows, via, key_filter)
    if query.text is not None and not query.text.strip():
        raise ConfigError("the text is empty; say what to look for")
    modality: Modality = "text" if query.text is not None else "image" if query.image is not None else "audio"
    family = _OWN.get(modality, family_of(via.source if via else into))
    _check_reach(f"a {_WORDS[modality]}", family, into, via)
    return QueryPlan(query, into, key_filter, modality, family, via=via)


def decode_media(query: Query) -> Any:
    """Return the text, or the bytes of the picture or the sound, of a query that has one."""
    return next(item for item in (query.text, query.image, query.sound) if item is not None)


def check_column(column: Column, indexed: Collection[Column]) -> None:
    """Refuse a column that has no index."""
    if column not in indexed:
        known = ", ".join(sorted(indexed)) or "none"
        raise ConfigError(f"this version has no index of {column}; search in one that it has: {known}")


def check_space(space: Space, into: Column, card: IndexCard) -> None:
    """Refuse a vector that is not in the space of a column."""
    if space != card.space:
        raise SpaceError(
            f"the query is in {space}, but {into} is in {card.space} ({space.differences(card.space)}); "
            "use the encoder that the dataset was built with, or encode the dataset into another set"
        )


def _plan_key(  # noqa: PLR0913, PLR0917 - a row and where it leads
    query: Query,
    key: str,
    into: Column,
    rows: VersionRows,
    via: TranslatorCard | None,
    key_filter: KeyFilter | None,
) -> QueryPlan:
    """Return the plan of a query by key, with the row's vector.

    It is of the column that the query names, else of the translator's source or the searched column, else of
    another one in the same space.
    """
    begins = via.source if via else into
    if query.of is not None:
        _check_reach(query.of, family_of(query.of), into, via)
    else:
        _check_ends(via, into)
    others = [column for column in COLUMNS if family_of(column) == family_of(begins) and column != begins]
    for column in [query.of] if query.of else [begins, *others]:
        if found := rows.read_vector(key, column):
            return QueryPlan(query, into, key_filter, None, family_of(column), _normalize(*found), via)
    wanted = query.of or _COLUMNS_IN[family_of(begins)]
    raise ConfigError(f"key {key!r} has no vector in {wanted}; give the key of a row that was found")


def _check_ends(via: TranslatorCard | None, into: Column) -> None:
    if via and family_of(via.target) != family_of(into):
        raise SpaceError(
            f"translator {via.name!r} ends in the space of {via.target} and {into} is not in it; search in "
            f"{_COLUMNS_IN[family_of(via.target)]}"
        )


def _check_reach(what: str, reach: Family, into: Column, via: TranslatorCard | None) -> None:
    if via and reach != family_of(via.source):
        raise SpaceError(
            f"translator {via.name!r} begins at {via.source} and {what} is in the space of {reach}; "
            "name one that begins there"
        )
    _check_ends(via, into)
    if via is None and reach != family_of(into):
        raise SpaceError(
            f"{what} is in the space of {reach} and cannot be compared with {into}; "
            f"search in {_COLUMNS_IN[reach]}, or name a translator with --via"
        )


def _normalize(vector: Any, space: Space) -> QueryVector:
    numbers_D = np.asarray(vector, dtype=np.float64)
    with np.errstate(over="ignore"):
        norm = np.linalg.norm(numbers_D)
    if numbers_D.shape != (space.dims,) or not np.isfinite(norm) or norm == 0:
        raise ConfigError(
            f"the query is a vector of shape {numbers_D.shape} and norm {norm:g}; "
            f"give {space.dims} finite numbers that are not all zero"
        )
    return QueryVector((numbers_D / norm).astype(np.float32), space)
