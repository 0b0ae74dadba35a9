"""Finds equal media under different URLs, by one query over the committed tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from pipelines.compute import cpu
from pipelines.store.library_files import make_database_path, register_root
from pipelines.store.root import Root
from pipelines.store.table_queries import as_query_errors, check_tables
from schemas.candidate import format_shard
from schemas.version import TOMBSTONE

if TYPE_CHECKING:
    import duckdb

# `first` is the row with the lowest key among equal media; keys are compared as numbers.
_QUERY = """
with ok as (
    select key, kind, sha256, media_url
    from read_parquet($paths)
    where outcome = 'ok' and sha256 is not null and key::bigint not in (select key from gone)
),
first as (
    select kind, sha256, min_by(key, key::ubigint) as key, min_by(media_url, key::ubigint) as media_url
    from ok
    group by kind, sha256
    having count(*) > 1
)
select ok.key as key, 'filtered' as outcome, 'duplicate_media' as reason, first.key as same_as
from ok join first using (kind, sha256)
where ok.media_url <> first.media_url
order by ok.key::ubigint
"""


def find_duplicate_media(root: Root, shards: Sequence[int], gone: np.ndarray | None = None) -> pa.Table:
    """Return a tombstone for every sample whose media an earlier sample has under another URL.

    Media are equal if kind and stored bytes (sha256) are; of equal ones, the lowest key stays. Rows with the
    same URL as the one that stays are no duplicates of it but other captions of the same picture, each a
    candidate of its own, and all of them stay. So of

        key 1: a.jpg "a bell", key 2: a.jpg "bells ring", key 3: copy-of-a.jpg "a bell"

    only key 3 is a duplicate. Text has no media and no duplicates.

    Args:
        root: of the dataset.
        shards: the numbers of the version's shards.
        gone: keys that are hidden anyway, int64: they are not compared.

    Returns:
        A table of `TOMBSTONE`, in the order of the keys.

    Raises:
        StorageError: a table is missing or damaged.
    """
    if not shards:
        return TOMBSTONE.empty_table()
    paths = [f"media/{format_shard(shard)}.parquet" for shard in shards]
    check_tables(root, paths)
    keys = np.empty(0, np.int64) if gone is None else gone
    with as_query_errors(root, "media/*.parquet"), _connect(root) as connection:
        connection.register("gone", pa.table({"key": keys}))
        query = connection.sql(_QUERY, params={"paths": [make_database_path(root, path) for path in paths]})
        duplicates: pa.Table = query.to_arrow_table().cast(TOMBSTONE)
    return duplicates


def _connect(root: Root) -> duckdb.DuckDBPyConnection:
    import duckdb

    connection = duckdb.connect(config={"threads": cpu.count_cpus()})
    connection.execute("SET enable_progress_bar = false")
    register_root(connection, root)
    return connection
