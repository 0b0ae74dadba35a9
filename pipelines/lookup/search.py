"""A text, picture, sound, vector or key -> the nearest rows of a version."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, Self

import numpy as np

from pipelines import versions
from pipelines.cache import cached
from pipelines.encode.encoder import EncoderSpec, Unusable, encode
from pipelines.encode.gate import CAPTIONS, admitted
from pipelines.encode.resolve import resolve_family
from pipelines.errors import ConfigError, SpaceError, StorageError
from pipelines.index.neighbours import Neighbours
from pipelines.index.stored import keys_of
from pipelines.storage import Root
from pipelines.translate.translator import Translator
from schemas.candidate import key_of, place_of, shard_name
from schemas.dataset import Dataset
from schemas.index_card import IndexCard
from schemas.space import Space
from schemas.vectors import Column, Family, Modality, family_of, spaces_of
from schemas.version import Version

_WORDS: Mapping[Modality, str] = {"text": "text", "image": "picture", "audio": "sound"}
_COLUMNS_IN: Mapping[Family, str] = {"clip": "clip_image or clip_text", "clap": "clap_audio or clap_text"}

# Tables of shards that are kept in memory for captions: of 1,000 rows about 200 kB each.
_TABLES = 64
# Of their vectors, for queries by key: 1,000 rows of 512 dimensions are 1 MB.
_VECTOR_TABLES = 8


@dataclass(frozen=True, slots=True)
class Hit:
    """A row that was found; `score` is the cosine."""

    key: str
    score: float
    caption: str
    url: str
    source: str
    kind: str
    licence: str


class Lookup:
    """Searches the indices of one version. Safe to use from several threads; loads what a query needs."""

    def __init__(
        self, root: Root, dataset: Dataset, set_name: str, cards: Mapping[Column, tuple[str, IndexCard]]
    ) -> None:
        self._root = root
        self._dataset = dataset
        self._set_name = set_name
        self._cards = cards
        self._removed = np.empty(0, dtype=np.int64)
        self._neighbours: dict[Column, Neighbours] = {}
        self._encoders: dict[Family, EncoderSpec] = {}
        self._turn = threading.Lock()
        self._rows: Callable[[int], Any] = lru_cache(_TABLES)(self._read_rows)
        self._vectors: Callable[[str, Column], Any] = lru_cache(_VECTOR_TABLES)(self._read_vectors)

    @classmethod
    def open(cls, root: Root, dataset: Dataset, version: Version) -> Self:
        """Return the lookup of a version; reads the cards of its indices, not yet the indices.

        Args:
            root: where the dataset lies.
            dataset: the root's own, for its encoders and the size of its shards.
            version: of the root, as `pipelines.versions.read` returns it.
        """
        cards: dict[Column, tuple[str, IndexCard]] = {}
        for entry in version.indices:
            if entry.path.endswith(".json"):
                card = IndexCard.model_validate_json(root.read(entry.path))
                cards[card.column] = (entry.path.removesuffix(".json") + ".faiss", card)
        lookup = cls(root, dataset, version.set, cards)
        lookup._removed = keys_of(versions.removed(root, version.number))
        return lookup

    @property
    def cards(self) -> dict[Column, IndexCard]:
        """The card of every column that can be searched."""
        return {column: card for column, (_, card) in self._cards.items()}

    def by_text(
        self, text: str, into: Column = "clip_image", k: int = 10, via: Translator | None = None
    ) -> list[Hit]:
        """Return the rows nearest to a text; any column can be asked.

        Args:
            text: words.
            into: the column to search.
            k: how many.
            via: crosses from the space of the query's own encoder to that of the column.

        Raises:
            ConfigError: nothing is said, the column has no index, or k is not positive.
            SpaceError: the encoder on this machine is not the one that the vectors were made with, or the
                translator leads from or to other spaces.
        """
        if not text.strip():
            raise ConfigError("the text is empty; say what to look for")
        return self._by_media("text", text, into, k, via)

    def by_picture(
        self, data: bytes, into: Column = "clip_image", k: int = 10, via: Translator | None = None
    ) -> list[Hit]:
        """Return the rows nearest to a picture, given as the bytes of its file; else as `by_text`."""
        return self._by_media("image", data, into, k, via)

    def by_sound(
        self, data: bytes, into: Column = "clap_audio", k: int = 10, via: Translator | None = None
    ) -> list[Hit]:
        """Return the rows nearest to a sound, given as the bytes of its file; else as `by_text`."""
        return self._by_media("audio", data, into, k, via)

    def by_vector(self, vector_D: np.ndarray, space: Space, into: Column, k: int = 10) -> list[Hit]:
        """Return the rows nearest to a vector of a space.

        Raises:
            ConfigError: the vector has no direction, or another length than its space says.
            SpaceError: the column is in another space.
        """
        card = self._card(into)
        if space != card.space:
            raise SpaceError(
                f"the query is in {space}, but {into} is in {card.space} ({space.differences(card.space)}); "
                "use the encoder that the dataset was built with, or encode the dataset into another set"
            )
        norm = np.linalg.norm(vector_D)
        if vector_D.shape != (space.dims,) or not np.isfinite(norm) or norm == 0:
            raise ConfigError(
                f"the query is a vector of shape {vector_D.shape} and norm {norm:g}; "
                f"give {space.dims} finite numbers that are not all zero"
            )
        return self._hits(vector_D / norm, into, k)

    def by_key(self, key: str, column: Column, into: Column | None = None, k: int = 10) -> list[Hit]:
        """Return the rows nearest to a row of the dataset, without that row ("more like this").

        Args:
            key: of the row.
            column: whose vector of it asks.
            into: the column to search; the same if None.
            k: how many.

        Raises:
            ConfigError: there is no such row, or it has no vector in the column.
            SpaceError: the two columns are in different spaces.
        """
        _check_count(k)
        vector_D, space = self._stored(key, column)
        hits = self.by_vector(vector_D, space, into or column, k + 1)
        return [hit for hit in hits if int(hit.key) != int(key)][:k]

    def _by_media(
        self, modality: Modality, item: str | bytes, into: Column, k: int, via: Translator | None
    ) -> list[Hit]:
        own: Mapping[Modality, Family] = {"image": "clip", "audio": "clap"}
        reach = own.get(modality, family_of(via.card.source if via else into))
        if via and reach != family_of(via.card.source):
            raise SpaceError(
                f"translator {via.card.name!r} begins at {via.card.source} and a {_WORDS[modality]} is in "
                f"the space of {reach}; name one that begins there"
            )
        if via and family_of(via.card.target) != family_of(into):
            raise SpaceError(
                f"translator {via.card.name!r} ends in the space of {via.card.target} and {into} is not in "
                f"it; search in {_COLUMNS_IN[family_of(via.card.target)]}"
            )
        if via is None and reach != family_of(into):
            raise SpaceError(
                f"a {_WORDS[modality]} is in the space of {reach} and cannot be compared with {into}; "
                f"search in {_COLUMNS_IN[reach]}, or name a translator with --via"
            )
        self._card(into)
        spec = self._encoder(reach)
        tower = spec.open()[modality]
        try:
            # A batch of one, unlike stored vectors: a query may differ in its last digit, and not wait.
            vectors_ND, _ = encode(tower, [tower.prepare(item)], 1)
        except Unusable as unusable:
            raise ConfigError(
                f"the {_WORDS[modality]} cannot be read ({unusable.reason}); give "
                + ("a JPEG, PNG or WebP" if modality == "image" else "a WAV, FLAC, OGG or MP3")
            ) from unusable
        if via is None:
            return self.by_vector(vectors_ND[0], spec.space, into, k)
        return self.by_vector(via.translate(vectors_ND, spec.space)[0], via.card.target_space, into, k)

    def _hits(self, unit_D: np.ndarray, into: Column, k: int) -> list[Hit]:
        _check_count(k)
        scores, keys = self._opened(into).search(unit_D[None], k)
        return [
            self._hit(int(key), float(score))
            for key, score in zip(keys[0], scores[0], strict=True)
            if key >= 0
        ]

    def _hit(self, key: int, score: float) -> Hit:
        shard, row = place_of(key, self._dataset.shard_rows)
        found = self._rows(shard)
        return Hit(
            key=key_of(shard, row, self._dataset.shard_rows),
            score=score,
            **{name: found[name][row].as_py() for name in ("caption", "url", "source", "kind", "licence")},
        )

    def _read_rows(self, shard: int) -> Any:
        """The rows of a shard, whatever their kind; what they say never changes."""
        wanted = ["caption", "url", "source", "kind", "licence"]
        return self._root.read_table(f"candidates/{shard_name(shard)}.parquet", columns=wanted)

    def _read_vectors(self, name: str, column: Column) -> Any:
        return self._root.read_table(name, columns=["key", column])

    def _card(self, column: Column) -> IndexCard:
        if column not in self._cards:
            there = ", ".join(sorted(self._cards)) or "none"
            raise ConfigError(f"this version has no index of {column}; search in one that it has: {there}")
        return self._cards[column][1]

    def _opened(self, column: Column) -> Neighbours:
        with self._turn:
            if column not in self._neighbours:
                path, card = self._cards[column]
                index = _read_index(self._root, path, card)
                self._neighbours[column] = Neighbours(index, card.nprobe, self._removed)
            return self._neighbours[column]

    def _encoder(self, family: Family) -> EncoderSpec:
        with self._turn:
            if family not in self._encoders:
                pinned: dict[str, Space] = {
                    family_of(column): card.space for column, card in self.cards.items()
                }
                spec = resolve_family(self._dataset.encode, family, pinned)
                if spec is None:
                    raise ConfigError(f"encode.{family} is null in this dataset; ask with a vector or a key")
                if family in pinned:
                    spec = admitted(spec, pinned[family], partial(self._captions, family))
                self._encoders[family] = spec
            return self._encoders[family]

    def _captions(self, family: Family) -> tuple[list[str], np.ndarray]:
        """The captions of some rows, and the vectors that the dataset has of them."""
        column = f"{family}_text"
        captions: list[str] = []
        vectors: list[list[float]] = []
        for name in self._root.names(f"vectors/{self._set_name}", ".parquet"):
            table = self._root.read_table(f"vectors/{self._set_name}/{name}", columns=["key", column])
            for row in table.drop_null().slice(0, len(CAPTIONS) - len(captions)).to_pylist():
                shard, at = place_of(row["key"], self._dataset.shard_rows)
                captions.append(self._rows(shard)["caption"][at].as_py())
                vectors.append(row[column])
            if len(captions) == len(CAPTIONS):
                break
        return captions, np.array(vectors, dtype=np.float32)

    def _stored(self, key: str, column: Column) -> tuple[np.ndarray, Space]:
        self._card(column)
        unknown = ConfigError(f"key {key!r} has no vector in {column}; give the key of a row that was found")
        if not key.isdecimal():
            raise unknown
        shard = place_of(key, self._dataset.shard_rows)[0]
        name = f"vectors/{self._set_name}/{shard_name(shard)}.parquet"
        if not self._root.exists(name) or int(key) in self._removed:
            raise unknown
        table = self._vectors(name, column)
        rows = np.flatnonzero(keys_of(table) == int(key))
        if not len(rows) or not table[column][rows[0]].is_valid:
            raise unknown
        vector_D = np.array(table[column][rows[0]].as_py(), dtype=np.float32)
        return vector_D, spaces_of(table.schema)[column]


def _check_count(k: int) -> None:
    if k < 1:
        raise ConfigError(f"k is {k}; ask for at least one row")


def _read_index(root: Root, path: str, card: IndexCard) -> Any:
    import faiss

    try:
        size = root.size(path)
        if size != card.bytes:
            raise StorageError(
                f"{path} has {size} bytes, but its card says {card.bytes}; "
                "take that version away and run the build again"
            )
        here = root.path(path) if root.is_local else str(cached(root, path, card.sha256))
        # Mapped, not read: several processes share one copy.
        return faiss.read_index(here, faiss.IO_FLAG_MMAP_IFC)
    except (FileNotFoundError, RuntimeError) as error:
        raise StorageError(
            f"{path} cannot be read as an index ({type(error).__name__}); "
            "take that version away and run the build again"
        ) from error
