"""What the rows of a version say, and their vectors: tables of shards, read when a row is asked for."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from pipelines.errors import NoSuchRowError
from pipelines.store import versions
from pipelines.store.counts import as_integers
from pipelines.store.root import Root
from pipelines.store.shards import Shard
from schemas.candidate import format_key, format_shard, parse_key
from schemas.space import Space
from schemas.vectors import COLUMNS_OF, Column, decode_spaces
from schemas.version import Version

# What a hit says of its row.
SAID = ("caption", "url", "source", "kind", "licence", "page_url", "attribution", "language")

# Rows whose tables are kept once they were read: what a row says takes about 300 bytes, a vector of 512
# dimensions 1 kB; so about 120 MB of the former and 50 MB of the latter.
_ROWS_KEPT = 400_000
_VECTORS_KEPT = 50_000

_KEY = re.compile(r"[0-9]{1,18}")


class VersionRows:
    """The rows of a version. Safe to use from several threads.

    Args:
        root: where the dataset lies.
        version: of it.
        shard_rows: of the dataset: they decide what a key means.

    Attributes:
        removed: the keys that no search may find, int64, ascending.
        shards: of the version, by number.
    """

    def __init__(self, root: Root, version: Version, shard_rows: int) -> None:
        self.root = root
        self.shard_rows = shard_rows
        self._set_name = version.set
        # Read at once: the version may be cleaned away while it is searched.
        self.removed = np.unique(as_integers(versions.read_removed(root, version.number)["key"]))
        self.shards = {shard.number: shard for shard in versions.read_shards(root, version)}
        self._said: Callable[[int], dict[str, Any]] = lru_cache(_kept(_ROWS_KEPT, shard_rows))(self._read)
        self._tables: Callable[[int, Column], Any] = lru_cache(_kept(_VECTORS_KEPT, shard_rows))(
            self._read_vectors
        )

    @property
    def keys_a_shard(self) -> int:
        """By how much the keys of two neighbouring shards differ."""
        return int(format_key(1, 0, self.shard_rows))

    def place(self, key: str) -> tuple[Shard, int]:
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

    def said(self, keys: np.ndarray) -> list[dict[str, Any]]:
        """Return what the rows of some keys say: their key, and each of `SAID`."""
        found = []
        for key in keys.tolist():
            shard, row = parse_key(key, self.shard_rows)
            columns = self._said(shard)
            values = {name: columns[name][row].as_py() for name in SAID}
            found.append({"key": format_key(shard, row, self.shard_rows), **values})
        return found

    def vector(self, key: str, column: Column) -> tuple[np.ndarray, Space] | None:
        """Return the vector of a row, float32 [D], and its space; None if it has none in the column.

        Raises:
            NoSuchRow: the version has no such row, or no longer.
        """
        shard, _ = self.place(key)
        if column not in COLUMNS_OF[shard.kind]:
            return None
        keys, vectors, space = self._tables(shard.number, column)
        at = int(np.searchsorted(keys, int(key)))
        if space is None or at == len(keys) or keys[at] != int(key) or not vectors[at].is_valid:
            return None
        return _numbers(vectors[at]), space

    def vectors(self, keys: np.ndarray, column: Column) -> np.ndarray:
        """Return the vectors of rows that have one in a column, float32 [N, D]."""
        found = []
        for key in keys.tolist():
            of_shard, vectors, _ = self._tables(parse_key(key, self.shard_rows)[0], column)
            found.append(_numbers(vectors[int(np.searchsorted(of_shard, key))]))
        return np.stack(found)

    def captions(self, column: Column, count: int) -> tuple[list[str], np.ndarray]:
        """Return captions of some rows that have a vector in a column, and these vectors, float32 [N, D]."""
        keys: list[int] = []
        for shard in self.shards.values():
            if column in COLUMNS_OF[shard.kind] and len(keys) < count:
                of_shard, vectors, _ = self._tables(shard.number, column)
                if vectors is not None:
                    keys += of_shard[vectors.is_valid().to_numpy(zero_copy_only=False)].tolist()
        some = np.array(keys[:count], dtype=np.int64)
        if not len(some):
            return [], np.empty((0, 0), dtype=np.float32)
        return [said["caption"] for said in self.said(some)], self.vectors(some, column)

    def _is_gone(self, key: int) -> bool:
        at = int(np.searchsorted(self.removed, key))
        return at < len(self.removed) and int(self.removed[at]) == key

    def _read(self, shard: int) -> dict[str, Any]:
        # What a row says never changes, whatever version it is read for.
        table = self.root.read_table(f"candidates/{format_shard(shard)}.parquet", columns=list(SAID))
        return {name: table[name].combine_chunks() for name in SAID}

    def _read_vectors(self, shard: int, column: Column) -> tuple[np.ndarray, Any, Space | None]:
        name = f"vectors/{self._set_name}/{format_shard(shard)}.parquet"
        with self.root.open_parquet(name) as file:
            space = decode_spaces(file.schema_arrow).get(column)
            table = file.read(columns=["key", column] if space else ["key"])
        return as_integers(table["key"]), table[column].combine_chunks() if space else None, space


def _numbers(stored: Any) -> np.ndarray:
    numbers: np.ndarray = stored.values.to_numpy(zero_copy_only=False).astype(np.float32)
    return numbers


def _kept(rows: int, shard_rows: int) -> int:
    """Return how many tables of shards hold so many rows."""
    return max(16, rows // shard_rows)
