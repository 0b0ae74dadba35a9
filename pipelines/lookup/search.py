"""A text, picture, sound, vector or key -> the nearest rows of a version.

    plan      a query -> what is to be searched; refuses what cannot be answered, before any model is loaded
    encode    many plans -> a vector each, in one pass through a net
    search    many vectors -> the hits of each, in one search of the index

`answer` runs the three for one query, `answer_many` for a batch.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Self, TypeVar

import numpy as np

from pipelines.errors import ConfigError, EcholensError
from pipelines.index.files import map_index, read_cards
from pipelines.index.neighbours import Neighbours
from pipelines.lookup.dedup import drop_near_duplicates, extend_search
from pipelines.lookup.encoders import QueryEncoders
from pipelines.lookup.filters import RowAttributes
from pipelines.lookup.media import MediaReader, Medium
from pipelines.lookup.plan import (
    QueryPlan,
    QueryVector,
    check_column,
    check_space,
    decode_media,
    get_query_modality,
    plan_query,
)
from pipelines.lookup.reach import ColumnReach
from pipelines.lookup.rows import VersionRows
from pipelines.store.dataset_file import adopt_orientation, read_spaces
from pipelines.store.root import Root
from pipelines.translate import translator
from pipelines.translate.defaults import find_default, resolve_alias
from pipelines.translate.shipped import find_shipped
from pipelines.translate.translator import Translator
from schemas.dataset import Dataset
from schemas.families import Column, get_modality
from schemas.index_card import IndexCard
from schemas.query import Answer, Hit, Query
from schemas.translator_card import TranslatorCard
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
        self._attributes = RowAttributes(self._rows)
        self._media = MediaReader(self._rows)
        indexed = {column: card.space for column, card in self.cards.items()}
        pinned = read_spaces(root, version.set)
        self._reach = ColumnReach({**pinned, **indexed}) if pinned else ColumnReach.from_indexed(indexed)
        fetch = adopt_orientation(root, dataset).fetch
        self.encoders = QueryEncoders(dataset.encode, self._reach.spaces, self._rows, self._media, fetch)
        self._neighbours: dict[Column, Neighbours] = {}
        self._translators: dict[str, Translator] = {}
        self._lock = threading.RLock()

    @classmethod
    def open(cls, root: Root, dataset: Dataset, version: Version) -> Self:
        """Return the lookup of a version; reads the cards of its indices, but no index yet.

        Args:
            root: of the dataset.
            dataset: the root's own, for its encoders and the size of its shards.
            version: of the root, from `pipelines.store.versions.read_version`.

        Raises:
            ConfigError: the set was built without encoders.
        """
        if not version.indices and not read_spaces(root, version.set):
            raise ConfigError(
                f"{root.url} was built without encoders and has media alone, no vectors; build it again with "
                "an `encode`"
            )
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
            self._get_neighbours(column)
            if encoders and self.encoders.has(column):
                self.encoders.get_spec(column).open()

    def read_media(self, key: str, medium: Medium = "picture") -> tuple[bytes, str]:
        """Return the picture (of a clip: a frame) or the sound of a row, and its content type.

        Raises:
            NoSuchRow: the version has no such row, or the row has no such medium.
            StorageError: the tar is damaged.
        """
        return self._media.read(key, medium)

    def encode_picture(self, picture: bytes, column: Column = "clip_image") -> np.ndarray:
        """Return the vector of a picture as a build would store it, float16 [D].

        Args:
            picture: the file.
            column: of pictures.

        Raises:
            ConfigError: the dataset has no such column, or the picture cannot be read.
            SpaceError: the encoder on this machine is not the one that the vectors were made with.
        """
        return self.encoders.encode_as_stored(column, picture)

    def answer(self, query: Query) -> Answer:
        """Return the rows nearest to a text, picture, sound, vector or row.

        Raises:
            ConfigError: the query is empty or unreadable, or there is no such row, column or translator.
            SpaceError: the query cannot be compared with the column, or the encoder on this machine is not
                the one that the vectors were made with.
            StorageError: a file of the version is damaged.
        """
        answer = self.answer_many([query])[0]
        if isinstance(answer, EcholensError):
            raise answer
        return answer

    def answer_many(self, queries: Sequence[Query]) -> list[Answer | EcholensError]:
        """Return for each of many queries what `answer` returns or raises."""
        results: dict[int, Answer | EcholensError] = {}
        plans: dict[int, QueryPlan] = {}
        for number, query in enumerate(queries):
            try:
                plans[number] = self.plan(query)
            except EcholensError as error:
                results[number] = error
        vectors: dict[int, np.ndarray] = {}
        for number, vector in zip(plans, self.encode(list(plans.values())), strict=True):
            if isinstance(vector, EcholensError):
                results[number] = vector
            else:
                vectors[number] = vector
        answers = self.search([plans[number] for number in vectors], list(vectors.values()))
        results |= zip(vectors, answers, strict=True)
        return [results[number] for number in range(len(queries))]

    def plan(self, query: Query) -> QueryPlan:
        """Return what is to be searched for a query; loads neither an index nor a model.

        Raises:
            ConfigError: the query is empty, or there is no such row, column, translator, source or language.
            SpaceError: the query cannot be compared with the column.
        """
        via = self._choose_translator(query)
        key_filter = self._attributes.make_filter(query.only) if query.only else None
        plan = plan_query(query, self.cards, self._reach, self._rows, via, key_filter)
        if via:
            check_space(via.target_space, plan.into, self.cards[plan.into])
        if plan.tower:
            self.encoders.check(plan.tower)
        return plan

    def encode(self, plans: Sequence[QueryPlan]) -> list[np.ndarray | EcholensError]:
        """Return a unit vector for every query, float32 [D], in the space of the column that it searches.

        Queries of one modality pass their encoder in one batch, and those of one translator the translator.
        A query without a vector has an error in its place.
        """
        vectors: list[QueryVector | EcholensError | None] = [plan.vector for plan in plans]
        for tower, numbers in _group(plan.tower for plan in plans).items():
            if tower is not None:
                items = [decode_media(plans[number].query) for number in numbers]
                encoded = self.encoders.encode(tower, items)
                for number, vector in zip(numbers, encoded, strict=True):
                    vectors[number] = vector
        for name, numbers in _group(plan.via.name if plan.via else None for plan in plans).items():
            if name is not None:
                translated = self._translate(name, [vectors[number] for number in numbers])
                for number, target in zip(numbers, translated, strict=True):
                    vectors[number] = target
        return [self._check(vector, plan.into) for vector, plan in zip(vectors, plans, strict=True)]

    def search(self, plans: Sequence[QueryPlan], vectors: Sequence[np.ndarray]) -> list[Answer]:
        """Return the answers to queries by their vectors; queries of one column, k and filter are one search.

        Args:
            plans: of the queries.
            vectors: from `encode`, none of them an error.

        Raises:
            StorageError: a file of the version is damaged.
        """
        answers: dict[int, Answer] = {}
        groups = _group((plan.into, plan.query.k, id(plan.key_filter)) for plan in plans)
        for (into, k, _), numbers in groups.items():
            # One more than k: a row that asks for more like itself is its own nearest neighbour.
            scores, keys = self._get_neighbours(into).search(
                np.stack([vectors[number] for number in numbers]), k + 1, plans[numbers[0]].key_filter
            )
            for row, number in enumerate(numbers):
                # A stored vector that is none has no place among neighbours.
                there = (keys[row] >= 0) & np.isfinite(scores[row])
                nearest = scores[row][there], keys[row][there]
                answers[number] = self._make_answer(plans[number], vectors[number], *nearest)
        return [answers[number] for number in range(len(plans))]

    def _make_answer(
        self, plan: QueryPlan, vector_D: np.ndarray, scores: np.ndarray, keys: np.ndarray
    ) -> Answer:
        """Return the answer to a query from its k + 1 nearest rows."""
        query, own = plan.query, int(plan.query.key) if plan.query.key is not None else -1
        if query.distinct:
            scores, keys = drop_near_duplicates(
                self._extend(plan, vector_D, scores, keys),
                lambda chosen: self._rows.read_vectors(chosen, plan.into),
                query.k,
                own,
            )
        else:
            others = keys != own
            scores, keys = scores[others][: query.k], keys[others][: query.k]
        vectors: Iterable[Any] = [None] * len(keys)
        if query.vectors and len(keys):
            vectors = self._rows.read_vectors(keys, plan.into)
        hits = tuple(
            Hit(score=float(score), vector=None if vector is None else tuple(vector.tolist()), **columns)
            for score, vector, columns in zip(scores, vectors, self._rows.describe(keys), strict=True)
        )
        via = plan.via.name if plan.via else None
        return Answer(version=self.version, column=plan.into, via=via, hits=hits)

    def _extend(
        self, plan: QueryPlan, vector_D: np.ndarray, scores: np.ndarray, keys: np.ndarray
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the rows that were found, then further ones."""
        yield scores, keys
        if len(keys) > plan.query.k:
            remaining = (plan.key_filter or self._attributes.all_rows).exclude(keys)
            yield from extend_search(self._get_neighbours(plan.into), vector_D, len(keys), remaining)

    def _translate(
        self, name: str, vectors: Sequence[QueryVector | EcholensError | None]
    ) -> Sequence[QueryVector | EcholensError | None]:
        """Return vectors translated, one batch a space; errors stay in their places."""
        translated = list(vectors)
        try:
            via = self._get_translator(name)
        except EcholensError as error:
            return [error] * len(vectors)
        spaces = (vector.space if isinstance(vector, QueryVector) else None for vector in vectors)
        for space, numbers in _group(spaces).items():
            if space is None:
                continue
            source = [
                vector.unit_D
                for vector in (vectors[number] for number in numbers)
                if isinstance(vector, QueryVector)
            ]
            try:
                target_ND = via.translate(np.stack(source), space)
            except EcholensError as error:
                for number in numbers:
                    translated[number] = error
                continue
            for number, target_D in zip(numbers, target_ND, strict=True):
                translated[number] = QueryVector(target_D, via.card.target_space)
        return translated

    def _check(self, vector: QueryVector | EcholensError | None, into: Column) -> np.ndarray | EcholensError:
        """Return a vector that may be compared with a column, or the error that says why it may not."""
        if not isinstance(vector, QueryVector):
            assert vector is not None
            return vector
        try:
            check_space(vector.space, into, self.cards[into])
        except EcholensError as error:
            return error
        return vector.unit_D

    def _choose_translator(self, query: Query) -> TranslatorCard | None:
        """Return the card of the translator that a query names, or needs: then it is the default one."""
        modality, into = get_query_modality(query), query.into
        reach = self._reach
        sources = [
            column for column in reach.spaces if modality is None or reach.find_tower(modality, column)
        ]
        sources.sort(key=lambda column: get_modality(column) != modality)
        ends = (sources, [into, *reach.list_comparable(into)] if into else list(reach.spaces))
        if query.via is not None:
            return self._read_card(resolve_alias(self._root, reach.spaces, query.via, ends))
        if into is None or modality is None or into in sources or into not in self.cards:
            return None
        return find_default(self._root, reach.spaces, *ends)

    def _read_card(self, name: str) -> TranslatorCard:
        if name in self._translators:
            return self._translators[name].card
        names = translator.list_names(self._root)
        if name not in names and (shipped := find_shipped(self._root, name)) is not None:
            return shipped
        if name not in names:
            known = ", ".join(names) or "none; `echolens train` makes them"
            raise ConfigError(f"there is no translator {name[:80]!r}; the dataset has: {known}")
        return translator.read_card(self._root, name)

    def _get_translator(self, name: str) -> Translator:
        with self._lock:
            if name not in self._translators:
                self._translators[name] = Translator.open(self._root, name)
            return self._translators[name]

    def _get_neighbours(self, column: Column) -> Neighbours:
        with self._lock:
            if column not in self._neighbours:
                path, card = self._cards[column]
                index = map_index(self._root, path, card)
                self._neighbours[column] = Neighbours(index, card.nprobe, self._rows.removed)
            return self._neighbours[column]


def _group(values: Iterable[G]) -> dict[G, list[int]]:
    """Return value -> the positions at which it occurs."""
    numbers: dict[G, list[int]] = {}
    for number, value in enumerate(values):
        numbers.setdefault(value, []).append(number)
    return numbers
