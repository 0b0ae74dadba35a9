"""A text, picture, sound, vector or key -> the nearest rows of a version.

    checked   a query -> what is to be searched; refuses what cannot be answered, before any model is loaded
    encoded   many of them -> a vector each, in one pass through a net
    found     many vectors -> the hits of each, in one search

`answer` is the three after each other, for one query; a service calls them one by one, to batch each.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Self, TypeVar

import numpy as np

from pipelines.errors import ConfigError, EcholensError
from pipelines.index.files import map_index, read_cards
from pipelines.index.neighbours import Neighbours
from pipelines.lookup.dedup import drop_near_duplicates, extend_search
from pipelines.lookup.encoders import QueryEncoders
from pipelines.lookup.filters import RowAttributes
from pipelines.lookup.media import MediaReader, Medium
from pipelines.lookup.plan import QueryPlan, QueryVector, check_column, check_space, decode_media, plan_query
from pipelines.lookup.rows import VersionRows
from pipelines.store.root import Root
from pipelines.translate import translator
from pipelines.translate.translator import Translator
from schemas.dataset import Dataset
from schemas.index_card import IndexCard
from schemas.query import Answer, Hit, Query
from schemas.space import Space
from schemas.translator_card import TranslatorCard
from schemas.vectors import Column, family_of
from schemas.version import Version

G = TypeVar("G", bound=Hashable)


class Lookup:
    """Searches the indices of one version. Safe to use from several threads; loads what a query needs."""

    def __init__(
        self, root: Root, dataset: Dataset, version: Version, cards: Mapping[Column, tuple[str, IndexCard]]
    ) -> None:
        self.version = version.number
        self._root = root
        self._cards = cards
        self._rows = VersionRows(root, version, dataset.shard_rows)
        self._facts = RowAttributes(self._rows)
        self._media = MediaReader(self._rows)
        pinned: dict[str, Space] = {family_of(column): card.space for column, card in self.cards.items()}
        self._encoders = QueryEncoders(dataset.encode, pinned, self._rows)
        self._neighbours: dict[Column, Neighbours] = {}
        self._translators: dict[str, Translator] = {}
        self._turn = threading.RLock()

    @classmethod
    def open(cls, root: Root, dataset: Dataset, version: Version) -> Self:
        """Return the lookup of a version; reads the cards of its indices, not yet the indices.

        Args:
            root: where the dataset lies.
            dataset: the root's own, for its encoders and the size of its shards.
            version: of the root, as `pipelines.store.versions.read_version` returns it.
        """
        return cls(root, dataset, version, read_cards(root, version))

    @property
    def cards(self) -> dict[Column, IndexCard]:
        """The card of every column that can be searched."""
        return {column: card for column, (_, card) in self._cards.items()}

    def warm(self, columns: Collection[Column] | None = None, encoders: bool = True) -> None:
        """Open the indices of columns (all of them if None) and, if wanted, the encoders of their spaces.

        Raises:
            ConfigError: a column has no index, or the weights of an encoder are not there.
            SpaceError: the encoder on this machine is not the one that the vectors were made with.
            StorageError: an index is damaged.
        """
        for column in self._cards if columns is None else columns:
            check_column(column, self._cards)
            self._opened(column)
            if encoders and self._encoders.has(family_of(column)):
                self._encoders.spec(family_of(column)).open()

    def media(self, key: str, medium: Medium = "picture") -> tuple[bytes, str]:
        """Return the picture (of a clip: a frame) or the sound of a row, and its content type.

        Raises:
            NoSuchRow: the version has no such row, or the row has no such medium.
            StorageError: the tar is damaged.
        """
        return self._media.read(key, medium)

    def vector(self, picture: bytes) -> np.ndarray:
        """Return the vector of a picture as a build would store it, float16 [D].

        Raises:
            ConfigError: the dataset has no CLIP, or the picture cannot be read.
            SpaceError: the encoder on this machine is not the one that the vectors were made with.
        """
        return self._encoders.stored("clip", "image", picture)

    def answer(self, query: Query) -> Answer:
        """Return the rows nearest to a text, picture, sound, vector or row.

        Raises:
            ConfigError: nothing is said, media cannot be read, or there is no such row, column or translator.
            SpaceError: the query cannot be compared with the column, or the encoder on this machine is not
                the one that the vectors were made with.
            StorageError: a file of the version is damaged.
        """
        return _whole(self.answers([query])[0])

    def answers(self, queries: Sequence[Query]) -> list[Answer | EcholensError]:
        """Return what `answer` does for many queries, each of which may have an error of its own."""
        results: dict[int, Answer | EcholensError] = {}
        good: dict[int, QueryPlan] = {}
        for place, query in enumerate(queries):
            try:
                good[place] = self.checked(query)
            except EcholensError as error:
                results[place] = error
        vectors: dict[int, np.ndarray] = {}
        for place, made in zip(good, self.encoded(list(good.values())), strict=True):
            if isinstance(made, EcholensError):
                results[place] = made
            else:
                vectors[place] = made
        found = self.found([good[place] for place in vectors], list(vectors.values()))
        results |= zip(vectors, found, strict=True)
        return [results[place] for place in range(len(queries))]

    def checked(self, query: Query) -> QueryPlan:
        """Return what is to be searched for a query; loads neither an index nor a model.

        Raises:
            ConfigError: nothing is said, or there is no such row, column, translator, source or language.
            SpaceError: the query cannot be compared with the column.
        """
        via = self._card_of(query.via) if query.via is not None else None
        passing = self._facts.passing(query.only) if query.only else None
        ready = plan_query(query, self.cards, self._rows, via, passing)
        if via:
            check_space(via.target_space, ready.into, self.cards[ready.into])
        if ready.modality:
            self._encoders.check(ready.family)
        return ready

    def encoded(self, queries: Sequence[QueryPlan]) -> list[np.ndarray | EcholensError]:
        """Return a unit vector for every query, float32 [D], in the space of the column that it searches.

        Those of one modality go through their net together, and those of one translator through it. A query
        that has no vector has an error in its place.
        """
        made: list[QueryVector | EcholensError | None] = [one.vector for one in queries]
        for (family, modality), places in _groups((one.family, one.modality) for one in queries).items():
            if modality is not None:
                items = [decode_media(queries[place].query) for place in places]
                for place, vector in zip(
                    places, self._encoders.vectors(family, modality, items), strict=True
                ):
                    made[place] = vector
        for name, places in _groups(one.via.name if one.via else None for one in queries).items():
            if name is not None:
                crossed = self._crossed(name, [made[place] for place in places])
                for place, over in zip(places, crossed, strict=True):
                    made[place] = over
        return [self._compared(vector, one.into) for vector, one in zip(made, queries, strict=True)]

    def found(self, queries: Sequence[QueryPlan], vectors: Sequence[np.ndarray]) -> list[Answer]:
        """Return the answers to queries by their unit vectors; those that ask for the same are one search.

        Args:
            queries: that were checked.
            vectors: of `encoded`, none of them an error.

        Raises:
            StorageError: a file of the version is damaged.
        """
        answers: dict[int, Answer] = {}
        alike = _groups((one.into, one.query.k, id(one.passing)) for one in queries)
        for (into, k, _), places in alike.items():
            # One more than is wanted: a row that asks for more like itself is its own nearest neighbour.
            scores, keys = self._opened(into).search(
                np.stack([vectors[place] for place in places]), k + 1, queries[places[0]].passing
            )
            for row, place in enumerate(places):
                there = keys[row] >= 0
                found = scores[row][there], keys[row][there]
                answers[place] = self._answer(queries[place], vectors[place], *found)
        return [answers[place] for place in range(len(queries))]

    def _answer(self, asked: QueryPlan, vector_D: np.ndarray, scores: np.ndarray, keys: np.ndarray) -> Answer:
        """Return the answer to a query from its k + 1 nearest rows."""
        query, own = asked.query, int(asked.query.key) if asked.query.key is not None else -1
        if query.distinct:
            scores, keys = drop_near_duplicates(
                self._ranked(asked, vector_D, scores, keys),
                lambda of: self._rows.vectors(of, asked.into),
                query.k,
                own,
            )
        else:
            others = keys != own
            scores, keys = scores[others][: query.k], keys[others][: query.k]
        vectors = self._rows.vectors(keys, asked.into) if query.vectors and len(keys) else [None] * len(keys)
        hits = tuple(
            Hit(score=float(score), vector=None if vector is None else tuple(vector.tolist()), **said)
            for score, vector, said in zip(scores, vectors, self._rows.said(keys), strict=True)
        )
        return Answer(version=self.version, column=asked.into, hits=hits)

    def _ranked(
        self, asked: QueryPlan, vector_D: np.ndarray, scores: np.ndarray, keys: np.ndarray
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield what was found, then further rows."""
        yield scores, keys
        if len(keys) > asked.query.k:
            left = (asked.passing or self._facts.everything).exclude(keys)
            yield from extend_search(self._opened(asked.into), vector_D, len(keys), left)

    def _crossed(
        self, name: str, vectors: Sequence[QueryVector | EcholensError | None]
    ) -> Sequence[QueryVector | EcholensError | None]:
        """Return vectors taken through a translator."""
        crossed = list(vectors)
        try:
            via = self._translator(name)
        except EcholensError as error:
            return [error] * len(vectors)
        spaces = (one.space if isinstance(one, QueryVector) else None for one in vectors)
        for space, places in _groups(spaces).items():
            if space is None:
                continue
            source = [
                one.unit_D for one in (vectors[place] for place in places) if isinstance(one, QueryVector)
            ]
            try:
                made_ND = via.translate(np.stack(source), space)
            except EcholensError as error:
                for place in places:
                    crossed[place] = error
                continue
            for place, made_D in zip(places, made_ND, strict=True):
                crossed[place] = QueryVector(made_D, via.card.target_space)
        return crossed

    def _compared(self, made: QueryVector | EcholensError | None, into: Column) -> np.ndarray | EcholensError:
        """Return a vector once it is sure that it may be compared with a column."""
        if not isinstance(made, QueryVector):
            assert made is not None
            return made
        try:
            check_space(made.space, into, self.cards[into])
        except EcholensError as error:
            return error
        return made.unit_D

    def _card_of(self, name: str) -> TranslatorCard:
        if name in self._translators:
            return self._translators[name].card
        there = translator.list_names(self._root)
        if name not in there:
            known = ", ".join(there) or "none; `echolens train` makes them"
            raise ConfigError(f"there is no translator {name[:80]!r}; the dataset has: {known}")
        return translator.read_card(self._root, name)

    def _translator(self, name: str) -> Translator:
        with self._turn:
            if name not in self._translators:
                self._translators[name] = Translator.open(self._root, name)
            return self._translators[name]

    def _opened(self, column: Column) -> Neighbours:
        with self._turn:
            if column not in self._neighbours:
                path, card = self._cards[column]
                index = map_index(self._root, path, card)
                self._neighbours[column] = Neighbours(index, card.nprobe, self._rows.removed)
            return self._neighbours[column]


def _whole(answer: Answer | EcholensError) -> Answer:
    if isinstance(answer, EcholensError):
        raise answer
    return answer


def _groups(of: Iterable[G]) -> dict[G, list[int]]:
    """Return value -> the places where it stands."""
    places: dict[G, list[int]] = {}
    for place, value in enumerate(of):
        places.setdefault(value, []).append(place)
    return places
