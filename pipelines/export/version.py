"""What an export is given: a version, and the rows of it that a reader may see."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.store import versions
from pipelines.store.root import Root
from pipelines.store.shards import Shard, get_vectors_marker
from schemas.candidate import parse_key
from schemas.families import Column
from schemas.space import Space
from schemas.vectors import decode_spaces
from schemas.version import Version

# Of a candidate, beside its key.
ATTRIBUTES = ("caption", "url", "source", "kind", "licence", "language", "id")


@dataclass(frozen=True, slots=True)
class ExportCounts:
    """What an export wrote.

    Attributes:
        rows: that are in it.
        parts: files of each sort.
        without: rows of the version that lack one of the vectors.
    """

    rows: int
    parts: int
    without: int


@dataclass(frozen=True, slots=True)
class ExportedShard:
    """The rows of a shard that have every vector that was asked for.

    Attributes:
        table: `key` and the attributes of each row.
        vectors: column -> unit vectors [N, D] in float16, N as in the table.
        spaces: column -> its space.
        read: rows of the shard, whatever they have.
        without: rows that a reader may see and that lack a vector.
    """

    table: pa.Table
    vectors: Mapping[Column, np.ndarray]
    spaces: Mapping[Column, Space]
    read: int
    without: int


@dataclass(frozen=True)
class ExportedVersion:
    """A version of a dataset.

    Attributes:
        root: of the dataset.
        shard_rows: of the dataset.
        version: to export.
    """

    root: Root
    shard_rows: int
    version: Version

    @property
    def name(self) -> str:
        """The version and its root, for errors."""
        return f"version {self.version.number} of {self.root.url}"

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns that have vectors."""
        return tuple(column for column, vectors in self.version.vectors.items() if vectors)

    def read_shards(
        self, columns: Sequence[Column], attributes: Sequence[str] = ATTRIBUTES
    ) -> Iterator[ExportedShard]:
        """Yield shard by shard, in the order of the keys, the rows that are not gone and have every vector.

        Args:
            columns: of vectors that a row must have.
            attributes: columns of a candidate.
        """
        removed = versions.read_removed(self.root, self.version.number)["key"].combine_chunks()
        for shard in versions.read_shards(self.root, self.version):
            yield self._read_shard(shard, columns, attributes, removed)

    def _read_shard(
        self, shard: Shard, columns: Sequence[Column], attributes: Sequence[str], removed: pa.Array
    ) -> ExportedShard:
        name = get_vectors_marker(self.version.set, shard)
        table = self.root.read_table(name, columns=["key", *columns])
        table = table.filter(pc.invert(pc.is_in(table["key"], value_set=removed)))
        visible = table.num_rows
        for column in columns:
            table = table.filter(table[column].is_valid())
        keys = table["key"].to_pylist()
        rows = [parse_key(key, self.shard_rows)[1] for key in keys]
        candidates = self.root.read_table(f"candidates/{shard.name}.parquet", columns=[*attributes])
        found = candidates.take(pa.array(rows, type=pa.int64())).replace_schema_metadata()
        found = found.add_column(0, "key", pa.array(keys, type=pa.string()))
        spaces = decode_spaces(table.schema)
        vectors = {}
        for column in columns:
            array = table[column].combine_chunks()
            flat = array.flatten().to_numpy(zero_copy_only=False)
            vectors[column] = flat.reshape(-1, array.type.list_size)
        return ExportedShard(found, vectors, spaces, shard.rows, visible - len(keys))


class VersionExport(Protocol):
    """Writes a version in another tool's form: a frozen description, whose fields are its options."""

    def write(self, exported: ExportedVersion, into: Path, report: Callable[[int], None]) -> ExportCounts:
        """Write into a folder that is there and empty; it is put in its place once all is written.

        Args:
            exported: what to write.
            into: the folder.
            report: called now and then with the number of rows that have been read.

        Raises:
            ConfigError: the version does not have what the options ask for.
        """
        ...
