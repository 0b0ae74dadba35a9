"""Exports the vectors of a version as a folder that clip-retrieval reads: img_emb, text_emb, metadata."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.errors import ConfigError
from pipelines.export.version import ExportCounts, ExportedVersion
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

# Rows of a file: 100 MB of 512 dimensions in float16; memory holds two of them.
PART_ROWS = 100_000

# clip-retrieval's folder for each modality; it has none for sounds.
_FOLDERS: Mapping[Modality, str] = {"image": "img_emb", "audio": "audio_emb", "text": "text_emb"}
_Part = tuple[pa.Table, Mapping[Column, np.ndarray]]


@dataclass(frozen=True)
class ClipRetrievalExport:
    """Writes the vectors of one family in a version as clip-retrieval's `inference` would.

    Rows are in the order of their keys; row n of every file is one sample. A row that lacks a vector, or is
    gone, is left out. `image_path` is the key of the row.

    Attributes:
        family: of the vectors.
    """

    family: Family = "clip"

    def write(self, exported: ExportedVersion, into: Path, report: Callable[[int], None]) -> ExportCounts:
        """See `VersionExport`."""
        columns = self._find_columns(exported)
        if missing := [column for column in columns if not exported.version.vectors.get(column)]:
            raise ConfigError(
                f"{exported.name} has no vectors in {' and '.join(missing)}; choose another family than "
                f"{self.family}"
            )
        if not columns:
            known = ", ".join(sorted({get_family(column) for column in exported.columns})) or "none"
            raise ConfigError(
                f"{exported.name} has no vectors of {self.family}; choose one of its families: {known}"
            )
        return _write_parts(exported, columns, into, report)

    def _find_columns(self, exported: ExportedVersion) -> tuple[Column, ...]:
        # Without towers that join CLIP or CLAP, which would leave out every row without their media.
        if self.family in FAMILIES:
            return sort_columns(list_columns(self.family))
        return sort_columns(column for column in exported.columns if get_family(column) == self.family)


EXPORTS = {"clip-retrieval": ClipRetrievalExport}


def _write_parts(
    exported: ExportedVersion, columns: Sequence[Column], into: Path, report: Callable[[int], None]
) -> ExportCounts:
    seen = without = rows = parts = 0

    def read_shards() -> Iterator[_Part]:
        nonlocal seen, without
        for shard in exported.read_shards(columns):
            seen, without = seen + shard.read, without + shard.without
            report(seen)
            names = {column: str(shard.spaces[column]) for column in columns}
            metadata = shard.table.rename_columns(["image_path", *shard.table.column_names[1:]])
            yield metadata.replace_schema_metadata(names), shard.vectors

    # clip-retrieval pads numbers to the digits of the number of parts; here, of the most there may be.
    most = min(exported.version.vectors[column] for column in columns)
    digits = len(str(-(-most // PART_ROWS)))
    for metadata, vectors in _join_parts(read_shards(), columns):
        for column in columns:
            folder = _FOLDERS[get_modality(column)]
            (into / folder).mkdir(exist_ok=True)
            np.save(into / folder / f"{folder}_{parts:0{digits}d}.npy", vectors[column])
        (into / "metadata").mkdir(exist_ok=True)
        pq.write_table(metadata, into / "metadata" / f"metadata_{parts:0{digits}d}.parquet")
        rows, parts = rows + metadata.num_rows, parts + 1
    if not rows:
        raise ConfigError(
            f"no row of {exported.root.url} has both {' and '.join(columns)}; export another family"
        )
    return ExportCounts(rows, parts, without)


def _join_parts(shards: Iterator[_Part], columns: Sequence[Column]) -> Iterator[_Part]:
    """Join shards into parts of `PART_ROWS` rows; the last one is shorter."""
    tables: list[pa.Table] = []
    vectors: list[Mapping[Column, np.ndarray]] = []

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
