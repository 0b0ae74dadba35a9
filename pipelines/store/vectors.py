"""Streams the vectors of a set from its shards, column by column.

Shapes: N rows, D dimensions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.errors import SpaceError, StorageError
from pipelines.store.counts import as_integers
from pipelines.store.root import Root
from pipelines.store.shards import Shard, get_vectors_marker
from schemas.families import Column, has_column, sort_columns
from schemas.space import Space
from schemas.vectors import decode_spaces

# A sample is drawn from at least so many shards: more cost time to read and add little.
_MIN_SAMPLED_SHARDS = 16

# Rows of a block: large enough for FAISS to be fast, 32 MB of float32 at 512 dimensions.
_BLOCK_ROWS = 16_384


@dataclass(frozen=True, slots=True)
class _ColumnKeys:
    """The keys of a column, shard by shard, and how many each shard has."""

    space: Space | None
    keys: np.ndarray
    shards: Sequence[Shard]
    counts: Sequence[int]

    def sample_shards(self, count: int, excluded: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return all keys, int64, of random shards that together have `count` keys that are not excluded."""
        min_shards = min(_MIN_SAMPLED_SHARDS, len(self.shards))
        ends = np.cumsum(self.counts)
        keys: list[np.ndarray] = []
        for number, shard in enumerate(rng.permutation(len(self.shards)).tolist()):
            own = self.keys[ends[shard] - self.counts[shard] : ends[shard]]
            keys.append(own[~np.isin(own, excluded)])
            if number + 1 >= min_shards and sum(map(len, keys)) >= count:
                break
        return np.concatenate([np.empty(0, dtype=np.int64), *keys])

    def find_shards(self, keys: np.ndarray) -> list[Shard]:
        """Return the shards that have any of the keys."""
        hits = np.concatenate([[0], np.cumsum(np.isin(self.keys, keys))])
        ends = np.cumsum(self.counts)
        starts = ends - self.counts
        return [
            shard
            for shard, start, end in zip(self.shards, starts, ends, strict=True)
            if hits[end] > hits[start]
        ]


@dataclass(frozen=True)
class VectorReader:
    """Reads the committed vectors of some shards, without removed keys.

    Attributes:
        root: of the dataset.
        set_name: the set of vectors.
        shards: of one version.
        removed: keys of rows that no reader may see, int64.
    """

    root: Root
    set_name: str
    shards: Sequence[Shard]
    removed: np.ndarray
    _cache: dict[Column, _ColumnKeys] = field(default_factory=dict, repr=False)

    def read_spaces(self) -> dict[Column, Space]:
        """Return the space of every column, from the first shard of each kind: a set has one for each."""
        spaces: dict[Column, Space] = {}
        first = {shard.kind: shard for shard in reversed(self.shards)}
        for shard in first.values():
            with self._open_table(shard) as file:
                spaces |= decode_spaces(file.schema_arrow)
        return {column: spaces[column] for column in sort_columns(spaces)}

    def read_keys(self, column: Column) -> tuple[Space | None, np.ndarray]:
        """Return a column's space and the keys of all rows that have a vector, int64 [N].

        The keys are in the order of `read_vectors`; the space is None if no shard has the column.

        Raises:
            SpaceError: two shards have it in different spaces.
            StorageError: a shard is missing.
        """
        cached = self._get_keys(column)
        return cached.space, cached.keys

    def _get_keys(self, column: Column) -> _ColumnKeys:
        if column not in self._cache:
            self._cache[column] = self._load_keys(column)
        return self._cache[column]

    def _load_keys(self, column: Column) -> _ColumnKeys:
        norm = f"{column}_norm"
        keys = [np.empty(0, dtype=np.int64)]
        shards: list[Shard] = []
        first: tuple[Shard, Space] | None = None
        for shard, table in self._read_tables(self.shards, column, norm):
            space = decode_spaces(table.schema)[column]
            first = first or (shard, space)
            if space != first[1]:
                raise SpaceError(
                    f"{column} of shard {shard.name} is in {space}, but that of shard {first[0].name} in "
                    f"{first[1]} ({space.describe_differences(first[1])}); encode one of them again"
                )
            shards.append(shard)
            keys.append(as_integers(self._drop_rows(table, norm)["key"]))
        counts = [len(own) for own in keys[1:]]
        return _ColumnKeys(first[1] if first else None, np.concatenate(keys), shards, counts)

    def sample(
        self, column: Column, count: int, excluded: np.ndarray, seed: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the keys, int64 [N], and vectors, float32 [N, D], of random rows of some shards.

        Args:
            column: of the set.
            count: size of the sample; fewer if there are not so many rows.
            excluded: keys that are not drawn, unless more than half of the sample would be missing.
            seed: of the draw.
        """
        space, all_keys = self.read_keys(column)
        rng = np.random.default_rng(seed)
        pool = self._get_keys(column).sample_shards(count, excluded, rng)
        if len(pool) < min(count, len(all_keys)) / 2:
            pool = self._get_keys(column).sample_shards(count, np.empty(0, dtype=np.int64), rng)
        sampled = rng.choice(pool, min(count, len(pool)), replace=False)
        keys_N = np.empty(len(sampled), dtype=np.int64)
        vectors_ND = np.empty((len(sampled), space.dims if space else 0), dtype=np.float32)
        start = 0
        for keys, shard_ND in self.read_vectors(column, sampled):
            keys_N[start : start + len(keys)] = keys
            vectors_ND[start : start + len(keys)] = shard_ND
            start += len(keys)
        return keys_N, vectors_ND

    def read_vectors(
        self, column: Column, only: np.ndarray | None = None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield keys, int64 [N], and unit vectors, float32 [N, D], shard by shard.

        Args:
            column: of the set.
            only: keys of the rows to read; all if None. Shards without any are not read.
        """
        shards = self.shards if only is None else self._get_keys(column).find_shards(only)
        for _, table in self._read_tables(shards, column, column):
            rows = self._drop_rows(table, column)
            if only is not None:
                rows = rows.filter(pa.array(np.isin(as_integers(rows["key"]), only)))
            if rows.num_rows:
                yield as_integers(rows["key"]), _to_matrix(rows[column].combine_chunks())

    def read_blocks(self, column: Column) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield what `read_vectors` does, several shards joined; a thread reads one block ahead."""
        with ThreadPoolExecutor(1) as reader:
            blocks = _join_blocks(self.read_vectors(column))
            ahead = reader.submit(next, blocks, None)
            while block := ahead.result():
                ahead = reader.submit(next, blocks, None)
                yield block

    def _read_tables(
        self, shards: Sequence[Shard], column: Column, values: str
    ) -> Iterator[tuple[Shard, pa.Table]]:
        """Read the keys and one more column of every shard that has the column."""
        for shard in shards:
            if not has_column(shard.kind, column):
                continue
            with self._open_table(shard) as file:
                if column in decode_spaces(file.schema_arrow):
                    yield shard, file.read(columns=["key", values])

    @contextmanager
    def _open_table(self, shard: Shard) -> Iterator[pq.ParquetFile]:
        name = get_vectors_marker(self.set_name, shard)
        try:
            with self.root.open_parquet(name) as file:
                yield file
        except FileNotFoundError as error:
            raise StorageError(
                f"{self.root.url} has no {name}; run `echolens build` on it to its end first"
            ) from error

    def _drop_rows(self, table: pa.Table, column: str) -> pa.Table:
        """Drop the rows that are removed or have no value in a column."""
        kept = table[column].is_valid().to_numpy()
        if len(self.removed):
            kept = kept & ~np.isin(as_integers(table["key"]), self.removed)
        # Most shards have every vector; a filter would copy them all.
        return table if kept.all() else table.filter(pa.array(kept))


def has_direction(vectors_ND: np.ndarray) -> np.ndarray:
    """Return which vectors can be used, bool [N]: all but zeros and those that are not finite."""
    # Stored vectors are unit vectors: 0.5 allows for float16 and excludes zeros and NaNs.
    norms_N = np.linalg.norm(vectors_ND.astype(np.float32), axis=1)
    usable: np.ndarray = np.isfinite(norms_N) & (norms_N > 0.5)
    return usable


def _join_blocks(
    blocks: Iterator[tuple[np.ndarray, np.ndarray]],
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    waiting: list[tuple[np.ndarray, np.ndarray]] = []
    for block in blocks:
        waiting.append(block)
        if sum(len(keys) for keys, _ in waiting) >= _BLOCK_ROWS:
            yield _concat(waiting)
            waiting = []
    if waiting:
        yield _concat(waiting)


def _concat(blocks: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    return np.concatenate([keys for keys, _ in blocks]), np.concatenate([vectors for _, vectors in blocks])


def _to_matrix(array: pa.FixedSizeListArray) -> np.ndarray:
    """Return vectors, none of them null, as float32 [N, D]."""
    dims = array.type.list_size
    start = array.offset * dims
    flat = array.values.to_numpy(zero_copy_only=False)[start : start + len(array) * dims]
    matrix: np.ndarray = flat.astype(np.float32).reshape(len(array), dims)
    return matrix
