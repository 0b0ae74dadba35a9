"""Parquet files of lists, at any URL of fsspec."""

from __future__ import annotations

import pyarrow as pa

from pipelines.errors import ListError
from pipelines.source.list_files import as_list_errors, open_place, read_whole
from pipelines.store.parquet_stream import ParquetStream


def open_parquet(url: str) -> ParquetStream:
    """Return a Parquet file of any URL.

    Raises:
        ListError: it is missing or damaged.
    """
    with as_list_errors(url):
        fs, path = open_place(url)
        # Its bytes, not a Python file: see Root.open_parquet.
        source = path if "file" in fs.protocol else pa.BufferReader(read_whole(fs, path, url))
        try:
            return ParquetStream(source)
        except pa.ArrowException as error:
            raise ListError(
                f"list {url} is no Parquet file ({error}); say `format:`, or download it again"
            ) from error
