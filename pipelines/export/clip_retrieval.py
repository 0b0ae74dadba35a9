"""Exports the vectors of a version as a folder that clip-retrieval reads: img_emb, text_emb, metadata."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.errors import ConfigError, StorageError
from pipelines.store import versions
from pipelines.store.atomic import TEMPORARY
from pipelines.store.root import Root
from pipelines.store.shards import Shard, get_vectors_marker
from schemas.candidate import parse_key
from schemas.families import (
    FAMILIES,
    Column,
    Family,
    Modality,
    get_family,
    get_modality,
    list_columns,
    sort_columns,
)
from schemas.vectors import decode_spaces
from schemas.version import Version

# Rows of a file: 100 MB of 512 dimensions in float16; memory holds two of them.
PART_ROWS = 100_000

# clip-retrieval's folder for each modality; it has none for sounds.
_FOLDERS: Mapping[Modality, str] = {"image": "img_emb", "audio": "audio_emb", "text": "text_emb"}
_Part = tuple[pa.Table, dict[Column, np.ndarray]]
_METADATA_COLUMNS = ("caption", "url", "source", "kind", "licence", "language", "id")


@dataclass(frozen=True, slots=True)
class ExportCounts:
    """What an export wrote.

    Attributes:
        rows: in every folder, in the same order.
        parts: files in every folder.
        without: rows of the version that lack one of the vectors.
    """

    rows: int
    parts: int
    without: int


@dataclass(frozen=True)
class ClipRetrievalExport:
    """Writes the vectors of one family in a version as clip-retrieval's `inference` would.

    Rows are in the order of their keys; row n of every file is one sample. A row that lacks a vector, or is
    gone, is left out. `image_path` is the key of the row.

    Attributes:
        root: of the dataset.
        shard_rows: of the dataset.
        version: to export.
        family: of the vectors.
    """

    root: Root
    shard_rows: int
    version: Version
    family: Family = "clip"

    def write(self, into: Path, report: Callable[[int], None] = lambda _: None) -> ExportCounts:
        """Write a folder, complete or not at all.

        Args:
            into: a folder that does not exist yet, or is empty.
            report: called after each shard with the number of rows that have been read.

        Raises:
            ConfigError: the folder is not empty, or the version has no such vectors.
        """
        if into.is_file() or (into.is_dir() and any(into.iterdir())):
            raise ConfigError(f"{into} is there already and nothing is overwritten; name another folder")
        if missing := [column for column in self._columns if not self.version.vectors.get(column)]:
            raise ConfigError(
                f"version {self.version.number} of {self.root.url} has no vectors in "
                f"{' and '.join(missing)}; choose another family than {self.family}"
            )
        if not self._columns:
            filled = [column for column, vectors in self.version.vectors.items() if vectors]
            known = ", ".join(sorted({get_family(column) for column in filled})) or "none"
            raise ConfigError(
                f"version {self.version.number} of {self.root.url} has no vectors of {self.family}; "
                f"choose one of its families: {known}"
            )
        scratch = into.with_name(f"{TEMPORARY}{uuid.uuid4().hex}-{into.name}")
        try:
            into.parent.mkdir(parents=True, exist_ok=True)
            counts = self._write_parts(scratch, report)
            scratch.replace(into)
        except OSError as error:
            raise StorageError(f"{into} cannot be written ({error}); choose another folder") from error
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        return counts

    @property
    def _columns(self) -> tuple[Column, ...]:
        # Without towers that join CLIP or CLAP, which would leave out every row without their media.
        if self.family in FAMILIES:
            return sort_columns(list_columns(self.family))
        filled = [column for column, vectors in self.version.vectors.items() if vectors]
        return sort_columns(column for column in filled if get_family(column) == self.family)

    def _write_parts(self, into: Path, report: Callable[[int], None]) -> ExportCounts:
        removed = versions.read_removed(self.root, self.version.number)["key"].combine_chunks()
        seen = without = rows = parts = 0

        def read_shards() -> Iterator[_Part]:
            nonlocal seen, without
            for shard in versions.read_shards(self.root, self.version):
                part, lacking = self._read_whole_rows(shard, removed)
                seen, without = seen + shard.rows, without + lacking
                report(seen)
                yield part

        # clip-retrieval pads numbers to the digits of the number of parts; here, of the most there may be.
        most = min(self.version.vectors[column] for column in self._columns)
        digits = len(str(-(-most // PART_ROWS)))
        for metadata, vectors in _join_parts(read_shards(), self._columns):
            for column in self._columns:
                folder = _FOLDERS[get_modality(column)]
                (into / folder).mkdir(parents=True, exist_ok=True)
                np.save(into / folder / f"{folder}_{parts:0{digits}d}.npy", vectors[column])
            (into / "metadata").mkdir(exist_ok=True)
            pq.write_table(metadata, into / "metadata" / f"metadata_{parts:0{digits}d}.parquet")
            rows, parts = rows + metadata.num_rows, parts + 1
        if not rows:
            raise ConfigError(
                f"no row of {self.root.url} has both {' and '.join(self._columns)}; export another family"
            )
        return ExportCounts(rows, parts, without)

    def _read_whole_rows(self, shard: Shard, removed: pa.Array) -> tuple[_Part, int]:
        """Return the rows of a shard that are not gone and have every vector, and how many lack one."""
        name = get_vectors_marker(self.version.set, shard)
        table = self.root.read_table(name, columns=["key", *self._columns])
        table = table.filter(pc.invert(pc.is_in(table["key"], value_set=removed)))
        visible = table.num_rows
        for column in self._columns:
            table = table.filter(table[column].is_valid())
        keys = table["key"].to_pylist()
        rows = [parse_key(key, self.shard_rows)[1] for key in keys]
        candidates = self.root.read_table(f"candidates/{shard.name}.parquet", columns=list(_METADATA_COLUMNS))
        metadata = candidates.take(pa.array(rows, type=pa.int64()))
        metadata = metadata.add_column(0, "image_path", pa.array(keys, type=pa.string()))
        spaces = decode_spaces(table.schema)
        vectors = {}
        for column in self._columns:
            array = table[column].combine_chunks()
            flat = array.flatten().to_numpy(zero_copy_only=False)
            vectors[column] = flat.reshape(-1, array.type.list_size)
        space_names = {column: str(spaces[column]) for column in self._columns}
        return (metadata.replace_schema_metadata(space_names), vectors), visible - len(keys)


def _join_parts(shards: Iterator[_Part], columns: Sequence[Column]) -> Iterator[_Part]:
    """Join shards into parts of `PART_ROWS` rows; the last one is shorter."""
    tables: list[pa.Table] = []
    vectors: list[dict[Column, np.ndarray]] = []

    def take(rows: int) -> _Part:
        nonlocal tables, vectors
        table = pa.concat_tables(tables)
        whole = {column: np.concatenate([one[column] for one in vectors]) for column in columns}
        tables = [table.slice(rows)]
        vectors = [{column: whole[column][rows:] for column in columns}]
        return table.slice(0, rows), {column: whole[column][:rows] for column in columns}

    for table, table_vectors in shards:
        tables.append(table)
        vectors.append(table_vectors)
        while sum(one.num_rows for one in tables) >= PART_ROWS:
            yield take(PART_ROWS)
    if rows := sum(one.num_rows for one in tables):
        yield take(rows)
