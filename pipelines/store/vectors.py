"""Reads the vectors of a set back from its shards, column by column, as a stream.

Shapes: N rows, D dimensions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from pipelines.errors import SpaceError, StorageError
from pipelines.store.counts import as_integers
from pipelines.store.root import Root
from pipelines.store.shards import Shard, get_vectors_marker
from schemas.space import Space
from schemas.vectors import COLUMNS_OF, Column, decode_spaces

# Shards that a sample is drawn from at least: more of them cost time to read and add little.
_SHARDS_DRAWN = 16

# Rows that are handed on together: large enough for FAISS to work on, 32 MB of 512 dimensions.
_BLOCK_ROWS = 16_384


@dataclass(frozen=True, slots=True)
class _Found:
    """The keys of a column, shard after shard, and how many each has."""

    space: Space | None
    keys: np.ndarray
    shards: Sequence[Shard]
    counts: Sequence[int]

    def some(self, count: int, but: np.ndarray, draw: np.random.Generator) -> np.ndarray:
        """Return the keys of shards that together have `count` of them beside those in `but`, int64."""
        at_least = min(_SHARDS_DRAWN, len(self.shards))
        ends = np.cumsum(self.counts)
        found: list[np.ndarray] = []
        for number, shard in enumerate(draw.permutation(len(self.shards)).tolist()):
            own = self.keys[ends[shard] - self.counts[shard] : ends[shard]]
            found.append(own[~np.isin(own, but)])
            if number + 1 >= at_least and sum(map(len, found)) >= count:
                break
        return np.concatenate([np.empty(0, dtype=np.int64), *found])

    def with_any(self, keys: np.ndarray) -> list[Shard]:
        """Return the shards that have one of some keys."""
        wanted = np.concatenate([[0], np.cumsum(np.isin(self.keys, keys))])
        ends = np.cumsum(self.counts)
        starts = ends - self.counts
        return [
            shard
            for shard, start, end in zip(self.shards, starts, ends, strict=True)
            if wanted[end] > wanted[start]
        ]


@dataclass(frozen=True)
class VectorReader:
    """The committed vectors of some shards, without the keys that are gone.

    Attributes:
        root: where they are.
        set_name: the set of vectors.
        shards: of one version.
        removed: keys of rows that no reader may see, as integers.
    """

    root: Root
    set_name: str
    shards: Sequence[Shard]
    removed: np.ndarray
    _found: dict[Column, _Found] = field(default_factory=dict, repr=False)

    def read_keys(self, column: Column) -> tuple[Space | None, np.ndarray]:
        """Return a column's space and the keys of all rows that have a vector, int64 [N].

        The keys are in the order of `vectors`; the space is None if no shard has the column.

        Raises:
            SpaceError: two shards have it in different spaces.
            StorageError: a shard is missing.
        """
        found = self._get_keys(column)
        return found.space, found.keys

    def _get_keys(self, column: Column) -> _Found:
        if column not in self._found:
            self._found[column] = self._load_keys(column)
        return self._found[column]

    def _load_keys(self, column: Column) -> _Found:
        norm = f"{column}_norm"
        ids = [np.empty(0, dtype=np.int64)]
        shards: list[Shard] = []
        first: tuple[Shard, Space] | None = None
        for shard, table in self._tables(self.shards, column, norm):
            space = decode_spaces(table.schema)[column]
            first = first or (shard, space)
            if space != first[1]:
                raise SpaceError(
                    f"{column} of shard {shard.name} is in {space}, but that of shard {first[0].name} in "
                    f"{first[1]} ({space.differences(first[1])}); encode one of them again"
                )
            shards.append(shard)
            ids.append(as_integers(self._kept(table, norm)["key"]))
        return _Found(first[1] if first else None, np.concatenate(ids), shards, [len(own) for own in ids[1:]])

    def sample(self, column: Column, count: int, but: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the keys, int64 [N], and vectors, float32 [N, D], of rows drawn from some shards.

        Args:
            column: of the set.
            count: how many; all that may be drawn if there are no more.
            but: keys that are not drawn, unless more than half of the sample would be missing.
            seed: of the draw.
        """
        space, ids = self.read_keys(column)
        draw = np.random.default_rng(seed)
        there = self._get_keys(column).some(count, but, draw)
        if len(there) < min(count, len(ids)) / 2:
            there = self._get_keys(column).some(count, np.empty(0, dtype=np.int64), draw)
        chosen = draw.choice(there, min(count, len(there)), replace=False)
        keys_N = np.empty(len(chosen), dtype=np.int64)
        vectors_ND = np.empty((len(chosen), space.dims if space else 0), dtype=np.float32)
        at = 0
        for keys, of_shard_ND in self.read_vectors(column, chosen):
            keys_N[at : at + len(keys)] = keys
            vectors_ND[at : at + len(keys)] = of_shard_ND
            at += len(keys)
        return keys_N, vectors_ND

    def read_vectors(
        self, column: Column, only: np.ndarray | None = None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield keys, int64 [N], and unit vectors, float32 [N, D], shard by shard.

        Args:
            column: of the set.
            only: keys of the rows that are wanted; all if None. Shards without any are not read.
        """
        shards = self.shards if only is None else self._get_keys(column).with_any(only)
        for _, table in self._tables(shards, column, column):
            kept = self._kept(table, column)
            if only is not None:
                kept = kept.filter(pa.array(np.isin(as_integers(kept["key"]), only)))
            if kept.num_rows:
                yield as_integers(kept["key"]), _matrix(kept[column].combine_chunks())

    def read_blocks(self, column: Column) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield what `vectors` does, several shards at once; a thread reads ahead."""
        with ThreadPoolExecutor(1) as reader:
            gathered = _gathered(self.read_vectors(column))
            ahead = reader.submit(next, gathered, None)
            while block := ahead.result():
                ahead = reader.submit(next, gathered, None)
                yield block

    def _tables(
        self, shards: Sequence[Shard], column: Column, values: str
    ) -> Iterator[tuple[Shard, pa.Table]]:
        """Read the keys and one more column of every shard that has the column."""
        for shard in shards:
            if column not in COLUMNS_OF[shard.kind]:
                continue
            name = get_vectors_marker(self.set_name, shard)
            try:
                with self.root.open_parquet(name) as file:
                    if column in decode_spaces(file.schema_arrow):
                        yield shard, file.read(columns=["key", values])
            except FileNotFoundError as error:
                raise StorageError(
                    f"{self.root.url} has no {name}; run `echolens build` on it to its end first"
                ) from error

    def _kept(self, table: pa.Table, column: str) -> pa.Table:
        kept = table[column].is_valid().to_numpy()
        if len(self.removed):
            kept = kept & ~np.isin(as_integers(table["key"]), self.removed)
        # Most shards have every vector: a filter would copy them all.
        return table if kept.all() else table.filter(pa.array(kept))


def _gathered(
    blocks: Iterator[tuple[np.ndarray, np.ndarray]],
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    waiting: list[tuple[np.ndarray, np.ndarray]] = []
    for block in blocks:
        waiting.append(block)
        if sum(len(keys) for keys, _ in waiting) >= _BLOCK_ROWS:
            yield _joined(waiting)
            waiting = []
    if waiting:
        yield _joined(waiting)


def _joined(blocks: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    return np.concatenate([keys for keys, _ in blocks]), np.concatenate([vectors for _, vectors in blocks])


def _matrix(array: pa.FixedSizeListArray) -> np.ndarray:
    """Return vectors, none of them null, as float32 [N, D]."""
    dims = array.type.list_size
    start = array.offset * dims
    flat = array.values.to_numpy(zero_copy_only=False)[start : start + len(array) * dims]
    matrix: np.ndarray = flat.astype(np.float32).reshape(len(array), dims)
    return matrix
