"""A query -> its plan: what is searched with which vector, or why it cannot be; loads no model."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipelines.errors import ConfigError, SpaceError
from pipelines.index.neighbours import KeyFilter
from pipelines.lookup.reach import ColumnReach, join_names
from pipelines.lookup.rows import VersionRows
from schemas.families import Column, Modality, find_default, get_family, sort_columns
from schemas.index_card import IndexCard
from schemas.query import Query
from schemas.space import Space
from schemas.translator_card import TranslatorCard

_WORDS: Mapping[Modality, str] = {"text": "text", "image": "picture", "audio": "sound"}
_FORMATS: Mapping[Modality, str] = {"image": "a JPEG, PNG or WebP", "audio": "a WAV, FLAC, OGG or MP3"}


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
        tower: the column whose encoder encodes the query; None if the query has a vector.
        vector: of a query by vector or key, before translation; None for media.
        via: the card of the translator into the space of `into`.
    """

    query: Query
    into: Column
    key_filter: KeyFilter | None
    modality: Modality | None = None
    tower: Column | None = None
    vector: QueryVector | None = None
    via: TranslatorCard | None = None


def make_unreadable_error(modality: Modality, reason: str) -> ConfigError:
    """Return the error of a text, picture or sound that cannot be read."""
    if modality == "text":
        return ConfigError(f"the text cannot be read ({reason}); give words")
    return ConfigError(f"the {_WORDS[modality]} cannot be read ({reason}); give {_FORMATS[modality]}")


def get_query_modality(query: Query) -> Modality | None:
    """Return what a query has to be encoded from; None if it is a vector or a key."""
    if query.text is not None:
        return "text"
    if query.image is not None:
        return "image"
    return "audio" if query.sound is not None else None


def choose_column(
    query: Query, cards: Mapping[Column, IndexCard], reach: ColumnReach, via: TranslatorCard | None
) -> Column:
    """Return the column that a query searches: its own, else the translator's target, else a default.

    Args:
        query: to plan.
        cards: of the columns that can be searched.
        reach: of the set of vectors.
        via: the card of the translator that the query names.
    """
    if query.into:
        return query.into
    if via:
        return via.target
    modality = get_query_modality(query)
    searchable = reach.list_searchable(modality) if modality else cards
    return find_default(modality or "text", [column for column in searchable if column in cards])


def plan_query(  # noqa: PLR0913, PLR0917 - a query and what it may reach
    query: Query,
    cards: Mapping[Column, IndexCard],
    reach: ColumnReach,
    rows: VersionRows,
    via: TranslatorCard | None,
    key_filter: KeyFilter | None,
) -> QueryPlan:
    """Return the plan of a query.

    Args:
        query: to plan.
        cards: of the columns that can be searched.
        reach: of the set of vectors.
        rows: of the version.
        via: the card of the translator that the query names.
        key_filter: the keys that may be returned; None for all.

    Raises:
        ConfigError: the text is empty, a vector has no direction, a row no vector, or the column no index.
        SpaceError: the query cannot be compared with the column.
    """
    modality = get_query_modality(query)
    if modality and not reach.has_tower(modality):
        raise ConfigError(
            f"no encoder of this dataset embeds a {_WORDS[modality]}; ask with something "
            "else, a vector or a key"
        )
    into = choose_column(query, cards, reach, via)
    check_column(into, cards)
    if query.vector is not None:
        _check_ends(reach, via, into)
        space = via.source_space if via else cards[into].space
        return QueryPlan(query, into, key_filter, vector=_normalize(query.vector, space), via=via)
    if modality is None:
        vector = _find_vector(query, into, reach, rows, via)
        return QueryPlan(query, into, key_filter, vector=vector, via=via)
    if query.text is not None and not query.text.strip():
        raise ConfigError("the text is empty; say what to look for")
    tower = reach.find_tower(modality, via.source if via else into)
    if tower is None:
        searchable = reach.list_searchable(modality)
        raise _make_reach_error(
            f"a {_WORDS[modality]}", reach.describe_families(modality), searchable, into, via
        )
    _check_ends(reach, via, into)
    return QueryPlan(query, into, key_filter, modality, tower, via=via)


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
    if not space.is_comparable(card.space):
        raise SpaceError(
            f"the query is in {space}, but {into} is in {card.space} "
            f"({space.describe_differences(card.space)}); use the encoder that the dataset was built with, "
            "or encode the dataset into another set"
        )


def _find_vector(
    query: Query, into: Column, reach: ColumnReach, rows: VersionRows, via: TranslatorCard | None
) -> QueryVector:
    """Return the vector of the row whose key a query has.

    It is of the column that the query names, else of the translator's source or the searched column, else of
    another one that can be compared with it.
    """
    assert query.key is not None
    begins = via.source if via else into
    if query.of is not None and not reach.is_comparable(query.of, begins):
        columns = (query.of, *reach.list_comparable(query.of))
        raise _make_reach_error(query.of, get_family(query.of), columns, into, via)
    _check_ends(reach, via, into)
    others = reach.list_comparable(begins)
    for column in [query.of] if query.of else [begins, *others]:
        if found := rows.read_vector(query.key, column):
            return _normalize(*found)
    wanted = query.of or join_names(sort_columns([begins, *others]))
    raise ConfigError(f"key {query.key!r} has no vector in {wanted}; give the key of a row that was found")


def _check_ends(reach: ColumnReach, via: TranslatorCard | None, into: Column) -> None:
    if via and not reach.is_comparable(via.target, into):
        raise SpaceError(
            f"translator {via.name!r} ends in the space of {via.target} and {into} is not in it; search in "
            f"{join_names(sort_columns([via.target, *reach.list_comparable(via.target)]))}"
        )


def _make_reach_error(
    what: str, families: str, columns: Iterable[Column], into: Column, via: TranslatorCard | None
) -> SpaceError:
    if via:
        return SpaceError(
            f"translator {via.name!r} begins at {via.source} and {what} is in the space of {families}; "
            "name one that begins there"
        )
    return SpaceError(
        f"{what} is in the space of {families} and cannot be compared with {into}; "
        f"search in {join_names(columns)}, or name a translator with --via"
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
