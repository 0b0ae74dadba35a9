"""A folder that img2dataset wrote as `webdataset`: NNNNN.tar with the pictures, NNNNN.parquet with every row.

The pictures are copied unchanged. A row that img2dataset could not fetch has no picture, so the list filters
it (`filtered/no_media`); another list with its URL may still provide it. The media/ of an Echolens root is
such a folder, too; its clips are filtered (`filtered/no_picture`).
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar, Literal

import fsspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.errors import ListError
from pipelines.source.listing import Listing, ListSource
from schemas.dataset import Fetch

_SCHEMA = pa.schema(
    [
        pa.field("row", pa.int64()),
        pa.field("url", pa.string()),
        pa.field("caption", pa.string()),
        pa.field("key", pa.string()),
        pa.field("status", pa.string()),
        pa.field("tar", pa.string()),
        pa.field("kind", pa.string()),
    ]
)
_SQL = r"""
SELECT row, row + 1 AS line, key AS text, 'image' AS kind, url, key AS source_key,
    coalesce(caption, '') AS caption,
    tar || '#' || key || '.' || $extension AS media_url,
    CASE WHEN $take <> 'media' THEN NULL WHEN status <> 'success' THEN 'no_media'
         WHEN kind = 'clip' THEN 'no_picture' END AS ruled_out
FROM records
"""
_SHARD = re.compile(r"\d+\.parquet")
_ENCODINGS = ("jpg", "png", "webp")


class Img2datasetSource(ListSource):
    """A folder of img2dataset."""

    hosts: ClassVar[Literal["web", "youtube", "local"]] = "local"

    def open_list(self, fetch: Fetch) -> Listing:  # noqa: ARG002
        """Return the rows of all shards, in the order of their names.

        Raises:
            ListError: the folder is missing or has no shards, or a shard is damaged.
        """
        try:
            fs, path = fsspec.core.url_to_fs(self.list)
            names = {str(found).rpartition("/")[2] for found in fs.ls(path, detail=False)}
        except (OSError, ImportError, ValueError) as error:
            raise ListError(f"folder {self.list} cannot be read ({error}); check the path") from error
        shards = sorted(name.removesuffix(".parquet") for name in names if _SHARD.fullmatch(name))
        if not shards:
            raise ListError(
                f"folder {self.list} has no NNNNN.parquet; give the output_folder of img2dataset, "
                "written with output_format=webdataset"
            )
        if lost := [shard for shard in shards if f"{shard}.tar" not in names]:
            raise ListError(f"folder {self.list} has {lost[0]}.parquet without {lost[0]}.tar; copy both")
        extension = _find_extension(fs, path, shards) if self.take == "media" else ""
        values = {"extension": extension, "take": self.take}
        return Listing(_SCHEMA, partial(_read_batches, fs, path, shards), _SQL, values)


SOURCES = {"img2dataset": Img2datasetSource}


def _read_batches(
    fs: fsspec.AbstractFileSystem, folder: str, shards: Sequence[str]
) -> Iterator[pa.RecordBatch]:
    row = 0
    for shard in shards:
        path = f"{folder}/{shard}.tar"
        tar = Path(path).as_uri() if "file" in fs.protocol else str(fs.unstrip_protocol(path))
        try:
            # Its bytes, not a Python file: see Root.open_parquet.
            table = pa.BufferReader(fs.cat_file(f"{folder}/{shard}.parquet"))
            with pq.ParquetFile(table) as file:
                columns = [name for name in _SCHEMA.names if name in file.schema_arrow.names]
                for batch in file.iter_batches(columns=columns):
                    yield _make_batch(batch, row, tar)
                    row += len(batch)
        except (OSError, KeyError, pa.ArrowException) as error:
            raise ListError(
                f"{folder}/{shard}.parquet is no shard of img2dataset ({error}); "
                "let img2dataset finish, or take the shard out"
            ) from error


def _make_batch(batch: pa.RecordBatch, row: int, tar: str) -> pa.RecordBatch:
    count = len(batch)
    caption = batch["caption"] if "caption" in batch.schema.names else pa.nulls(count)
    columns = {
        "row": pa.array(range(row, row + count), pa.int64()),
        "url": pc.fill_null(batch["url"].cast(pa.string()), ""),
        "caption": caption.cast(pa.string()),
        "key": batch["key"].cast(pa.string()),
        "status": batch["status"].cast(pa.string()),
        "tar": pa.array([tar] * count, pa.string()),
        # An Echolens root records the kind of every row; img2dataset has only pictures.
        "kind": batch["kind"].cast(pa.string())
        if "kind" in batch.schema.names
        else pa.nulls(count, pa.string()),
    }
    return pa.RecordBatch.from_pydict(columns, schema=_SCHEMA)


def _find_extension(fs: fsspec.AbstractFileSystem, folder: str, shards: Sequence[str]) -> str:
    """Return the suffix of the pictures, which is the same in the whole folder, one of three encodings."""
    for shard in shards:
        try:
            with fs.open(f"{folder}/{shard}.tar", "rb") as file, tarfile.open(fileobj=file) as tar:
                for member in tar:
                    if (extension := member.name.rpartition(".")[2]) in _ENCODINGS:
                        return extension
        except (OSError, tarfile.TarError) as error:
            raise ListError(
                f"{folder}/{shard}.tar cannot be read ({error}); "
                "let img2dataset finish, or take the shard out"
            ) from error
    return _ENCODINGS[0]
