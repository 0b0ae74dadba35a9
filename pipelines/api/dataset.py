"""A version of a root, opened for reading.

Shapes: N rows, D dimensions.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from pipelines.api.searchable import Searchable
from pipelines.errors import ConfigError
from pipelines.source.registry import check_kinds
from pipelines.store import versions
from pipelines.store.dataset_file import read_root_dataset, read_spaces, with_vector_set
from pipelines.store.root import Root
from pipelines.store.trust import check_trust
from schemas.candidate import Kind
from schemas.families import Column
from schemas.query import Answer, Query
from schemas.space import Space
from schemas.strict import Trust
from schemas.version import Version

if TYPE_CHECKING:
    import polars as pl

    from pipelines.api.samples import SampleStream
    from pipelines.lookup.search import Lookup
    from schemas.dataset import Dataset


class EmbeddingDataset(Searchable):
    """A version of a root; what a method needs is loaded when it is first called.

    It can be pickled, and used in a `with` statement, after which its models and indices are let go.

    Args:
        root: of the dataset.
        dataset: the root's own, with what its user vouches for.
        version: of the root.
    """

    def __init__(self, root: Root, dataset: Dataset, version: Version) -> None:
        self._root, self._dataset, self._version = root, dataset, version

    def __reduce__(self) -> tuple[Any, ...]:
        """Return what opens the same version again; indices and models are not pickled."""
        return type(self), (self._root, self._dataset, self._version)

    def __enter__(self) -> Self:
        """Return the dataset."""
        return self

    def __exit__(self, *error: object) -> None:
        """Let the dataset go."""
        self.close()

    def __repr__(self) -> str:
        """Return where it is, which version, and its columns."""
        where = f"{self._root.url!r}, set={self._version.set!r}, version={self._version.number}"
        return f"EmbeddingDataset({where}: {self._describe_counts()})"

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{html.escape(column)}</td><td>{count:,}</td></tr>"
            for column, count in self._version.vectors.items()
        )
        return (
            f"<p><b>{html.escape(self._dataset.name)}</b>, version {self._version.number} of "
            f"{html.escape(self._root.url)}</p><table><tr><th>column</th><th>vectors</th></tr>{rows}</table>"
        )

    def _describe_counts(self) -> str:
        counts = (f"{column} {count:,}" for column, count in self._version.vectors.items())
        return ", ".join(counts) or "no vectors"

    @property
    def version(self) -> int:
        """The number of the version."""
        return self._version.number

    @cached_property
    def spaces(self) -> dict[Column, Space]:
        """The space of every column."""
        return read_spaces(self._root, self._version.set)

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns of vectors."""
        return tuple(self.spaces)

    def close(self) -> None:
        """Let go of indices and models; a method that needs them loads them again."""
        self.__dict__.pop("_lookup", None)

    def _answer(self, query: Query) -> Answer:
        return self._lookup.answer(query)

    def vectors(self, column: Column) -> tuple[np.ndarray, np.ndarray]:
        """Return the keys, uint64 `[N]`, and the vectors, float16 `[N, D]`, of all rows with one in a column.

        Args:
            column: of the set; its vectors are of length 1.

        Raises:
            ConfigError: the set has no such column.
            StorageError: a shard is missing.
        """
        space = self._get_space(column)
        reader = versions.open_vectors(self._root, self._version)
        keys, parts = [np.empty(0, np.uint64)], [np.empty((0, space.dims), np.float16)]
        for keys_N, vectors_ND in reader.read_vectors(column):
            keys.append(keys_N.astype(np.uint64))
            parts.append(vectors_ND.astype(np.float16))
        return np.concatenate(keys), np.concatenate(parts)

    def table(self) -> pl.LazyFrame:
        """Return what the version says of its candidates: caption, links, outcome, properties of the media.

        Shards are read when the frame is collected, and of them only the columns that are needed.
        """
        from pipelines.api.table import open_table

        return open_table(self._root, self._version, self._dataset.shard_rows)

    def samples(
        self, kind: Kind, columns: Column | Sequence[Column] = (), seed: int = 0, shuffle: bool = True
    ) -> SampleStream:
        """Return a torch `IterableDataset` of the rows that arrived, with their media.

        Args:
            kind: image, clip or text.
            columns: whose vectors each sample has; a row that lacks one is left out.
            seed: of the order.
            shuffle: whether shards, and the rows of each, come in random order.

        Raises:
            ConfigError: the set has no such column, or the rows of the kind have none.
        """
        from pipelines.api.samples import SampleStream

        chosen = (columns,) if isinstance(columns, str) else tuple(columns)
        for column in chosen:
            self._get_space(column)
        return SampleStream(self._root, self._version, self._dataset.shard_rows, kind, chosen, seed, shuffle)

    def translate(self, vectors: np.ndarray, via: str) -> np.ndarray:
        """Return vectors of another space, of length 1, float32 `[N, D]`.

        Args:
            vectors: `[N, D]` of the space where the translator begins, of any length.
            via: the name of a translator of the root, or of one that ships.

        Raises:
            ConfigError: there is no such translator, or a vector has other dimensions or no direction.
            StorageError: its weights are damaged.
        """
        from pipelines.translate.translator import Translator

        given_ND = np.asarray(vectors)
        translator = Translator.open(self._root, via)
        dims = translator.card.source_space.dims
        if given_ND.ndim != 2 or given_ND.shape[1] != dims or given_ND.dtype.kind not in "fiu":
            raise ConfigError(
                f"translator {via} takes vectors [N, {dims}] of numbers, and these are {given_ND.dtype} "
                f"{list(given_ND.shape)}; give those of {translator.card.source}"
            )
        # Translated, what is no number would stay none, and what has no direction would get one.
        norms_N = np.linalg.norm(given_ND.astype(np.float32), axis=1)
        if len(wrong := np.flatnonzero(~(np.isfinite(norms_N) & (norms_N > 0)))):
            raise ConfigError(
                f"row {wrong[0]} of the vectors to translate is a vector without a direction; leave it out"
            )
        return translator.translate(given_ND, translator.card.source_space)

    @cached_property
    def _lookup(self) -> Lookup:
        from pipelines.lookup.search import Lookup

        return Lookup.open(self._root, self._dataset, self._version)

    def _get_space(self, column: Column) -> Space:
        if column not in self.spaces:
            raise ConfigError(
                f"set {self._version.set!r} of {self._root.url} has no column {str(column)[:40]!r}; name one "
                f"of {', '.join(self.spaces) or 'none'}"
            )
        return self.spaces[column]


def open_dataset(
    root: str | Path,
    set: str | None = None,  # noqa: A002 - as the command's flag
    version: int | None = None,
    trust: str | Sequence[str] = (),
) -> EmbeddingDataset:
    """Return a version of a root, opened for reading.

    Args:
        root: its folder or URL.
        set: of vectors; that of the version, or of the newest build, if None.
        version: its number; the newest of the set if None.
        trust: classes, as module:Class, that the root names and that may be imported.

    Raises:
        ConfigError: there is no such root or set, or the version is of another set.
        StorageError: there is no such version, or a file of the root is damaged.
    """
    classes = (trust,) if isinstance(trust, str) else tuple(trust)
    check_trust(classes)
    if not isinstance(root, str | Path):
        raise ConfigError(f"root is a {type(root).__name__}; give the folder or URL of a dataset")
    place = Root.from_url(str(root))
    dataset = read_root_dataset(place, Trust(classes=frozenset(classes)))
    check_kinds(dataset, place.url)
    named = None if version is None else versions.read_version(place, version)
    dataset = with_vector_set(place, dataset, set or (named.set if named else None))
    found = named or versions.read_current(place, dataset.encode.set)
    if found.set != dataset.encode.set:
        raise ConfigError(
            f"version {found.number} of {place.url} is of the set {found.set!r}, and {dataset.encode.set!r} "
            "was asked for; leave one of both out"
        )
    return EmbeddingDataset(place, dataset, found)
