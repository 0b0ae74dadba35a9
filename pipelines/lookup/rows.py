"""The rows of a version: columns of their candidates, and vectors; tables of shards are read on demand."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.errors import NoSuchRowError, StorageError
from pipelines.store import versions
from pipelines.store.counts import as_integers
from pipelines.store.root import Root
from pipelines.store.shards import Shard
from schemas.candidate import Kind, format_key, parse_key
from schemas.families import Column, has_column
from schemas.space import Space
from schemas.vectors import decode_spaces
from schemas.version import Version

# The columns of a candidate that a hit has.
HIT_COLUMNS = ("caption", "url", "source", "kind", "licence", "page_url", "attribution", "language")

# Rows whose tables are cached: the columns of a hit take about 300 bytes, a vector of 512 dimensions 1 kB;
# so about 120 MB of the former and 50 MB of the latter.
_ROWS_KEPT = 400_000
_VECTORS_KEPT = 50_000

_KEY = re.compile(r"[0-9]{1,18}")


class VersionRows:
    """The rows of a version. Safe to use from several threads.

    Args:
        root: of the dataset.
        version: of it.
        shard_rows: of the dataset: a key is parsed with it.

    Attributes:
        removed: the keys that no search may find, int64, ascending.
        shards: of the version, by number.
    """

    def __init__(self, root: Root, version: Version, shard_rows: int) -> None:
        self.root = root
        self.shard_rows = shard_rows
        self._set_name = version.set
        # Read eagerly: the version may be cleaned away while it is searched.
        self.removed = np.unique(as_integers(versions.read_removed(root, version.number)["key"]))
        self.shards = {shard.number: shard for shard in versions.read_shards(root, version)}
        self._get_columns: Callable[[int], dict[str, Any]] = lru_cache(_count_tables(_ROWS_KEPT, shard_rows))(
            self._load_columns
        )
        self._get_vectors: Callable[[int, Column], Any] = lru_cache(_count_tables(_VECTORS_KEPT, shard_rows))(
            self._load_vectors
        )

    @property
    def keys_a_shard(self) -> int:
        """The difference between the keys of two consecutive shards."""
        return int(format_key(1, 0, self.shard_rows))

    def locate(self, key: str) -> tuple[Shard, int]:
        """Return the shard and the row of a key.

        Raises:
            NoSuchRow: the version has no such row, or no longer.
        """
        if _KEY.fullmatch(key):
            number, row = parse_key(key, self.shard_rows)
            shard = self.shards.get(number)
            if shard and row < shard.rows and not self._is_gone(int(key)):
                return shard, row
        raise NoSuchRowError(f"no row has the key {key[:40]!r}; give the key of a row that was found")

    def describe(self, keys: np.ndarray) -> list[dict[str, Any]]:
        """Return the key and the `HIT_COLUMNS` of every row."""
        rows = []
        for key in keys.tolist():
            shard, row = parse_key(key, self.shard_rows)
            columns = self._get_columns(shard)
            if row >= len(columns["url"]):
                raise StorageError(
                    f"an index of {self.root.url} has a row {row} of shard {shard}, which has fewer; "
                    "run `echolens build --verify` on its file"
                )
            values = {name: columns[name][row].as_py() for name in HIT_COLUMNS}
            rows.append({"key": format_key(shard, row, self.shard_rows), **values})
        return rows

    def read_vector(self, key: str, column: Column) -> tuple[np.ndarray, Space] | None:
        """Return the vector of a row, float32 [D], and its space; None if it has none in the column.

        Raises:
            NoSuchRow: the version has no such row, or no longer.
        """
        shard, _ = self.locate(key)
        if not has_column(shard.kind, column):
            return None
        keys, vectors, space = self._get_vectors(shard.number, column)
        at = int(np.searchsorted(keys, int(key)))
        if space is None or at == len(keys) or keys[at] != int(key) or not vectors[at].is_valid:
            return None
        return _as_array(vectors[at]), space

    def read_vectors(self, keys: np.ndarray, column: Column) -> np.ndarray:
        """Return the vectors of rows that have one in a column, float32 [N, D]."""
        rows = []
        for key in keys.tolist():
            shard_keys, vectors, _ = self._get_vectors(parse_key(key, self.shard_rows)[0], column)
            at = int(np.searchsorted(shard_keys, key))
            if vectors is None or at == len(shard_keys) or shard_keys[at] != key or not vectors[at].is_valid:
                raise StorageError(
                    f"an index of {self.root.url} has a vector {column} of the key {key}, whose table has "
                    "none; run `echolens build --verify` on its file"
                )
            rows.append(_as_array(vectors[at]))
        return np.stack(rows)

    def read_captions(self, column: Column, count: int) -> tuple[list[str], np.ndarray]:
        """Return captions of up to `count` rows with a vector in a column, and the vectors, float [N, D]."""
        keys, vectors_ND = self.read_first_vectors(column, count)
        rows = self.describe(np.array([int(key) for key in keys], dtype=np.int64))
        return [row["caption"] for row in rows], vectors_ND

    def read_first_vectors(
        self, column: Column, count: int, kind: Kind | None = None
    ) -> tuple[list[str], np.ndarray]:
        """Return the keys of the first rows with a vector in a column, and the vectors, float [N, D].

        Args:
            column: of the vectors.
            count: of the rows, at most.
            kind: of the rows; any if None.
        """
        keys: list[int] = []
        for shard in self.shards.values():
            fits = has_column(shard.kind, column) and kind in (None, shard.kind)
            if fits and len(keys) < count:
                shard_keys, vectors, _ = self._get_vectors(shard.number, column)
                if vectors is not None:
                    valid = shard_keys[vectors.is_valid().to_numpy(zero_copy_only=False)]
                    keys += [key for key in valid.tolist() if not self._is_gone(key)]
        first = np.array(keys[:count], dtype=np.int64)
        if not len(first):
            return [], np.empty((0, 0), dtype=np.float32)
        return [row["key"] for row in self.describe(first)], self.read_vectors(first, column)

    def read_table(self, shard: Shard, folder: str, columns: Sequence[str]) -> pa.Table:
        """Return columns of all rows of a shard.

        Args:
            shard: of the version.
            folder: candidates or media.
            columns: of the table.

        Raises:
            StorageError: it is missing, damaged, or has another number of rows.
        """
        name = f"{folder}/{shard.name}.parquet"
        try:
            table = self.root.read_table(name, columns=list(columns))
        except FileNotFoundError as error:
            raise StorageError(f"{self.root.url} has no {name}; put it back from a copy") from error
        if table.num_rows != shard.rows:
            raise StorageError(
                f"{self.root.url}/{name} has {table.num_rows} rows, and the version says {shard.rows}; "
                "put it back from a copy"
            )
        return table

    def _find_shard(self, number: int) -> Shard:
        if number not in self.shards:
            raise StorageError(
                f"an index of {self.root.url} has rows of a shard {number}, which the version has not; "
                "run `echolens build --verify` on its file"
            )
        return self.shards[number]

    def _is_gone(self, key: int) -> bool:
        at = int(np.searchsorted(self.removed, key))
        return at < len(self.removed) and int(self.removed[at]) == key

    def _load_columns(self, shard: int) -> dict[str, Any]:
        # A candidate never changes, so every version may read it.
        table = self.read_table(self._find_shard(shard), "candidates", HIT_COLUMNS)
        return {name: table[name].combine_chunks() for name in HIT_COLUMNS}

    def _load_vectors(self, shard: int, column: Column) -> tuple[np.ndarray, Any, Space | None]:
        name = f"vectors/{self._set_name}/{self._find_shard(shard).name}.parquet"
        try:
            with self.root.open_parquet(name) as file:
                space = decode_spaces(file.schema_arrow).get(column)
                table = file.read(columns=["key", column] if space else ["key"])
        except FileNotFoundError as error:
            raise StorageError(f"{self.root.url} has no {name}; run `echolens build` on its file") from error
        return as_integers(table["key"]), table[column].combine_chunks() if space else None, space


def _as_array(vector: Any) -> np.ndarray:
    array: np.ndarray = vector.values.to_numpy(zero_copy_only=False).astype(np.float32)
    return array


def _count_tables(rows: int, shard_rows: int) -> int:
    """Return how many tables of shards hold so many rows, at least 16."""
    return max(16, rows // shard_rows)
