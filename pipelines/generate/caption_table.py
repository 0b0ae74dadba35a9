"""The texts of a NAME as one table that joins with a dataset by key."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa

from pipelines.generate.output import read_rows, read_samples
from pipelines.generate.step import get_folder
from pipelines.store.root import Root
from pipelines.store.shards import Shard
from schemas.machine_captions import MACHINE_CAPTIONS

FILE = "captions.parquet"


def iterate_captions(root: Root, name: str, shards: Sequence[Shard]) -> Iterator[dict[str, object]]:
    """Yield the rows of the table, in the order of the prompts; a row without a text is left out.

    Args:
        root: of the dataset.
        name: of the samples.
        shards: of them, all committed.

    Raises:
        StorageError: a table or a tar is damaged.
    """
    for shard in shards:
        texts = {key: data.decode() for key, data in read_samples(root, name, shard)}
        for row in read_rows(root, name, (shard,)):
            if row["key"] in texts:
                yield {
                    "key": row["source_key"] or row["key"],
                    "url": row["url"],
                    "caption": texts[row["key"]],
                    "score": row["score"],
                    "written_by": row["generator"],
                    "written_by_sha256": row["generator_sha256"],
                }


def write_captions(root: Root, name: str, shards: Sequence[Shard]) -> None:
    """Write the table of a NAME.

    Args:
        root: of the dataset.
        name: of the samples.
        shards: of them, all committed.
    """
    rows = [*iterate_captions(root, name, shards)]
    root.write_table(f"{get_folder(name)}/{FILE}", pa.Table.from_pylist(rows, MACHINE_CAPTIONS))
