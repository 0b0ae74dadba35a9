"""The vectors of one column by their keys, so that what was read from tars can be joined with its targets."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipelines.errors import ConfigError
from pipelines.store.vectors import VectorReader, has_direction
from schemas.families import Column
from schemas.space import Space


@dataclass(frozen=True, eq=False)
class KeyedVectors:
    """The vectors of a column.

    Attributes:
        space: of the vectors.
        keys_N: of all rows with a vector that has a direction, int64, ascending.
        vectors_ND: float16, in memory or mapped from a file.
    """

    space: Space
    keys_N: np.ndarray
    vectors_ND: np.ndarray

    def get_vectors(self, keys: np.ndarray) -> np.ndarray:
        """Return the vectors of keys in their order, float32 [n, D].

        Raises:
            ConfigError: a key has no vector.
        """
        rows = np.searchsorted(self.keys_N, keys)
        found = self.keys_N[np.minimum(rows, len(self.keys_N) - 1)] == keys
        if not found.all():
            raise ConfigError(
                f"{int((~found).sum())} of {len(found)} keys have no vector, the first is {keys[~found][0]}; "
                "take rows from `keys_N` only"
            )
        vectors: np.ndarray = self.vectors_ND[rows].astype(np.float32)
        return vectors


def read_keyed_vectors(
    reader: VectorReader, column: Column, keys: np.ndarray | None = None, scratch: Path | None = None
) -> KeyedVectors:
    """Return the vectors of a column, without rows whose vector has no direction.

    Args:
        reader: of a version.
        column: of its set.
        keys: int64; other rows are left out. All are taken if None.
        scratch: a folder for the vectors, which are then mapped from a file; in memory if None.

    Raises:
        ConfigError: no row has a vector.
        SpaceError: two shards have the column in different spaces.
        StorageError: a shard is missing.
    """
    space, _ = reader.read_keys(column)
    found, chunks = [np.empty(0, dtype=np.int64)], []
    name = scratch / f"{column}.f16" if scratch else None
    file = name.open("wb") if name else None
    for keys_n, vectors_nD in reader.read_vectors(column, keys):
        usable = has_direction(vectors_nD)
        found.append(keys_n[usable])
        halves_nD = vectors_nD[usable].astype(np.float16)
        if file:
            file.write(halves_nD.tobytes())
        else:
            chunks.append(halves_nD)
    if file:
        file.close()
    keys_N = np.concatenate(found)
    if space is None or not len(keys_N):
        raise ConfigError(
            f"{reader.root.url} has no vector {column} of these rows; name a column and rows that it has"
        )
    if name:
        return KeyedVectors(space, keys_N, np.memmap(name, np.float16, "r").reshape(-1, space.dims))
    return KeyedVectors(space, keys_N, np.concatenate(chunks))
