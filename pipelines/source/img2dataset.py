"""A folder that img2dataset wrote as `webdataset`: NNNNN.tar with the pictures, NNNNN.parquet with every row.

The pictures are copied unchanged. A row that img2dataset could not fetch has no picture, so the list filters
it (`filtered/no_media`); another list with its URL may still provide it. The media/ of an Echolens root is
such a folder, too; its clips are filtered (`filtered/no_picture`).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar, Literal

import fsspec
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from pipelines.errors import DamagedArchiveError, ListError, StorageError
from pipelines.fetch.files import is_below
from pipelines.source.folder import make_url
from pipelines.source.listing import Listing, ListSource
from pipelines.source.table.join import JoinKeys, open_join
from pipelines.store.parquet_file import CheckedParquetFile
from pipelines.store.parquet_stream import ParquetStream
from pipelines.store.untrusted_tar import iterate_infos
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
SELECT row, row + 1 AS line, coalesce(key, url) AS text, 'image' AS kind, url, key AS source_key,
    coalesce(caption, '') AS caption,
    tar || '#' || key || '.' || $extension AS media_url,
    -- Without a key there is no member, and the row's own URL is not one of this folder.
    CASE WHEN key IS NULL OR NOT regexp_full_match(key, '[0-9A-Za-z_-]{1,64}') THEN 'key' END AS fault,
    CASE WHEN $take <> 'media' THEN NULL WHEN status <> 'success' THEN 'no_media'
         WHEN kind = 'clip' THEN 'no_picture' END AS ruled_out
FROM records
"""
_SHARD = re.compile(r"\d+\.parquet")
_ENCODINGS = ("jpg", "png", "webp")


class Img2datasetSource(ListSource):
    """A folder of img2dataset."""

    hosts: ClassVar[Literal["web", "youtube", "local"]] = "local"

    join: JoinKeys | None = Field(None, description="another list, whose captions the rows get")

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
            _check_format(self.list, names, lost[0], fs, path)
            raise ListError(f"folder {self.list} has {lost[0]}.parquet without {lost[0]}.tar; copy both")
        if "file" in fs.protocol:
            _check_files(path, shards)
        extension = _find_extension(fs, path, shards) if self.take == "media" else ""
        values = {"extension": extension, "take": self.take}
        batches = partial(_read_batches, fs, path, shards)
        return Listing(_SCHEMA, batches, _SQL, values, join=open_join(self.join))

    def list_files(self) -> Sequence[str]:
        """See `ListSource`: a folder may have millions of files."""
        return []

    def list_places(self) -> Sequence[str]:
        """See `ListSource`."""
        try:
            fs, path = fsspec.core.url_to_fs(self.list)
        except (OSError, ImportError, ValueError) as error:
            raise ListError(f"folder {self.list} cannot be read ({error}); check the path") from error
        return (f"{make_url(fs, path).rstrip('/')}/",)


def _check_format(
    place: str, names: Collection[str], shard: str, fs: fsspec.AbstractFileSystem, folder: str
) -> None:
    """Refuse a folder of another output_format; what it has instead of the tar of a shard says which.

    Args:
        place: as the dataset's file names it.
        names: of what is in it.
        shard: that has no tar.
        fs: where it is.
        folder: its path there.
    """
    if shard in names:
        found, advice = "files", "say kind: folder"
    elif f"{shard}.tfrecord" in names:
        found, advice = "tfrecord", "write it again as one of them"
    elif _has_pictures(fs, f"{folder}/{shard}.parquet"):
        found, advice = "parquet", "write it again as one of them"
    else:
        return
    raise ListError(
        f"folder {place} is of img2dataset's output_format={found}, and what can be read is webdataset, "
        f"by kind: img2dataset, and files, by kind: folder; {advice}"
    )


def _has_pictures(fs: fsspec.AbstractFileSystem, path: str) -> bool:
    """Return whether a shard's table has the bytes of pictures in it."""
    try:
        # The footer alone: the pictures of a shard are half a gigabyte.
        with fs.open(path, "rb") as opened:
            schema = ParquetStream(path if "file" in fs.protocol else opened).schema
    except (OSError, pa.ArrowException):
        return False
    return any(name in schema.names and pa.types.is_binary(schema.field(name).type) for name in _ENCODINGS)


def _check_files(folder: str, shards: Sequence[str]) -> None:
    """Refuse links that lead out of a folder of this machine, and what is no regular file."""
    for shard in shards:
        for file in (Path(folder, f"{shard}.parquet"), Path(folder, f"{shard}.tar")):
            if not file.is_file() or not is_below(str(file), folder):
                raise ListError(f"{file} is no file of that folder; copy the shard itself there")


SOURCES = {"img2dataset": Img2datasetSource}


def _read_batches(
    fs: fsspec.AbstractFileSystem, folder: str, shards: Sequence[str]
) -> Iterator[pa.RecordBatch]:
    row = 0
    for shard in shards:
        path = f"{folder}/{shard}.tar"
        tar = make_url(fs, path)
        try:
            # Its bytes, not a Python file: see Root.open_parquet.
            data = fs.cat_file(f"{folder}/{shard}.parquet")
            where = f"{folder}/{shard}.parquet"
            with CheckedParquetFile(pa.BufferReader(data), where, is_ours=False) as file:
                columns = [name for name in _SCHEMA.names if name in file.schema_arrow.names]
                for batch in file.iter_batches(columns=columns):
                    yield _make_batch(batch, row, tar)
                    row += len(batch)
        except (OSError, KeyError, StorageError, pa.ArrowException) as error:
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
            with fs.open(f"{folder}/{shard}.tar", "rb") as file:
                for member in iterate_infos(file):
                    if (extension := member.name.rpartition(".")[2]) in _ENCODINGS:
                        return extension
        except (OSError, DamagedArchiveError) as error:
            raise ListError(
                f"{folder}/{shard}.tar cannot be read ({error}); "
                "let img2dataset finish, or take the shard out"
            ) from error
    return _ENCODINGS[0]
