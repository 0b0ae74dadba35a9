"""Reads the vectors of a set back from its shards, column by column, as a stream.

Shapes: N rows, D dimensions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.errors import SpaceError, StorageError
from pipelines.shards import Shard, vectors_marker
from pipelines.storage import Root
from schemas.space import Space
from schemas.vectors import COLUMNS_OF, Column, spaces_of


@dataclass(frozen=True)
class Stored:
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
    _keys: dict[Column, tuple[Space | None, np.ndarray]] = field(default_factory=dict, repr=False)

    def keys(self, column: Column) -> tuple[Space | None, np.ndarray]:
        """Return a column's space and the keys of all rows that have a vector, int64 [N].

        The keys are in the order of `vectors`; the space is None if no shard has the column.

        Raises:
            SpaceError: two shards have it in different spaces.
            StorageError: a shard is missing.
        """
        if column not in self._keys:
            self._keys[column] = self._read_keys(column)
        return self._keys[column]

    def _read_keys(self, column: Column) -> tuple[Space | None, np.ndarray]:
        norm = f"{column}_norm"
        ids = [np.empty(0, dtype=np.int64)]
        first: tuple[Shard, Space] | None = None
        for shard, table in self._tables(column, norm):
            space = spaces_of(table.schema)[column]
            first = first or (shard, space)
            if space != first[1]:
                raise SpaceError(
                    f"{column} of shard {shard.name} is in {space}, but that of shard {first[0].name} in "
                    f"{first[1]} ({space.differences(first[1])}); encode one of them again"
                )
            ids.append(keys_of(self._kept(table, norm)))
        return first[1] if first else None, np.concatenate(ids)

    def vectors(self, column: Column) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield keys, int64 [N], and unit vectors, float32 [N, D], shard by shard."""
        for _, table in self._tables(column, column):
            kept = self._kept(table, column)
            if kept.num_rows:
                flat = kept[column].combine_chunks().flatten().to_numpy(zero_copy_only=False)
                yield keys_of(kept), flat.astype(np.float32).reshape(kept.num_rows, -1)

    def _tables(self, column: Column, values: str) -> Iterator[tuple[Shard, pa.Table]]:
        """Read the keys and one more column of every shard that has the column."""
        for shard in self.shards:
            if column not in COLUMNS_OF[shard.kind]:
                continue
            name = vectors_marker(self.set_name, shard)
            try:
                with self.root.parquet(name) as file:
                    if column in spaces_of(file.schema_arrow):
                        yield shard, file.read(columns=["key", values])
            except FileNotFoundError as error:
                raise StorageError(
                    f"{self.root.url} has no {name}; run `echolens build` on it to its end first"
                ) from error

    def _kept(self, table: pa.Table, column: str) -> pa.Table:
        kept = pc.is_valid(table[column])
        if len(self.removed):
            gone = np.isin(keys_of(table), self.removed)
            kept = pc.and_(kept, pa.array(~gone))
        return table.filter(kept)


def keys_of(table: pa.Table) -> np.ndarray:
    """Return the `key` column of a table as the integers that an index knows, int64 [N]."""
    integers: np.ndarray = pc.cast(table["key"], pa.int64()).to_numpy()
    return integers
