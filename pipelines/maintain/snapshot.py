"""Load the current dataset, key by key, into the database of the lists.

| table       | a row is                                                                     |
|-------------|------------------------------------------------------------------------------|
| keyed       | a key of a committed shard, with the outcome of its candidate under that key |
| latest      | the key of `keyed` that decides the outcome of its candidate                 |
| shard_tried | a shard, and when its media were fetched, in seconds since 1970              |
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import pyarrow as pa

from pipelines.store import plans
from pipelines.store.library_files import make_database_path, register_root
from pipelines.store.manifest import read_tried
from pipelines.store.root import Root
from pipelines.store.shards import Shard, get_vectors_marker
from pipelines.store.table_queries import as_query_errors, check_tables
from schemas.candidate import format_key
from schemas.dataset import Dataset
from schemas.version import Version

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_KEYED = """
CREATE TABLE keyed AS
SELECT key, id, kind, media_url, coalesce(dead.outcome, lost.outcome, at_first.outcome) AS outcome,
    coalesce(dead.reason, lost.reason, at_first.reason) AS reason, dead.tried_s AS found_s
FROM (
    SELECT key::BIGINT AS key, id, kind, media_url, outcome, reason FROM {media}
    UNION ALL SELECT key::BIGINT, id, kind, NULL, outcome, reason FROM {texts}
) AS at_first
LEFT JOIN (SELECT key::BIGINT AS key, outcome, reason FROM {vectors} WHERE outcome <> 'ok') AS lost
USING (key)
LEFT JOIN dead USING (key)
"""
_NO_ROWS = """
(SELECT '' AS key, '' AS id, '' AS kind, '' AS media_url, '' AS outcome, '' AS reason LIMIT 0)
"""
_LATEST = """
CREATE TABLE latest AS
SELECT keyed.*, tries FROM keyed
JOIN (SELECT id, kind, count(*) AS tries FROM keyed GROUP BY id, kind) USING (id, kind)
ANTI JOIN superseded USING (key)
"""


def read_dataset(
    rows: DuckDBPyConnection, root: Root, dataset: Dataset, shards: Sequence[Shard], version: Version | None
) -> None:
    """Add the tables `keyed`, `latest` and `shard_tried` to a database.

    Args:
        rows: the database.
        root: of the dataset.
        dataset: its configuration.
        shards: of all its plans, committed.
        version: the current one; None if none was ever published.
    """
    register_root(rows, root)
    fetched = [shard for shard in shards if shard.kind != "text"]
    set_name = version.set if version else dataset.encode.set
    encoded = [get_vectors_marker(set_name, shard) for shard in fetched]
    texts = [get_vectors_marker(set_name, shard) for shard in shards if shard.kind == "text"]
    dead = plans.read_dead(root)
    found_s = pa.array([at.timestamp() for at in dead["since"].to_pylist()], pa.float64())
    columns = [dead["key"].cast(pa.int64()), dead["outcome"], dead["reason"], found_s]
    rows.register("dead_now", pa.table(columns, names=["key", "outcome", "reason", "tried_s"]))
    rows.execute("CREATE TABLE dead AS FROM dead_now")
    superseded = plans.read_superseded(root)["key"].cast(pa.int64())
    rows.register("superseded_now", pa.table({"key": superseded}))
    rows.execute("CREATE TABLE superseded AS FROM superseded_now")
    check_tables(root, [*(f"media/{shard.name}.parquet" for shard in fetched), *texts, *encoded])
    keyed = _KEYED.format(
        media=format_parquet(root, [f"media/{shard.name}.parquet" for shard in fetched]),
        texts=format_parquet(root, texts),
        vectors=format_parquet(root, encoded),
    )
    with as_query_errors(root, "media/*.parquet and vectors/*/*.parquet"):
        rows.execute(keyed)
        rows.execute(_LATEST)
    tries = _read_tries(root, version)
    times = [tries.get(shard.number) or read_tried(root, shard).timestamp() for shard in shards]
    rows.register(
        "tried_now",
        pa.table({"shard": pa.array([shard.number for shard in shards], pa.int64()), "tried_s": times}),
    )
    rows.execute("CREATE TABLE shard_tried AS FROM tried_now")


def _read_tries(root: Root, version: Version | None) -> dict[int, float]:
    """Return shard -> when it was tried, in seconds since 1970, as a version has it."""
    if version is None:
        return {}
    table = root.read_table(f"versions/{version.number:04d}.parquet", columns=["shard", "tried"])
    milliseconds = table["tried"].cast(pa.int64()).to_pylist()
    return {
        shard: tried_ms / 1000
        for shard, tried_ms in zip(table["shard"].to_pylist(), milliseconds, strict=True)
    }


def format_parquet(root: Root, names: Collection[str]) -> str:
    """Return SQL that reads files of a root; it yields no rows if there are no files."""
    if not names:
        return _NO_ROWS
    paths = [make_database_path(root, name) for name in names]
    listed = ", ".join("'" + path.replace("'", "''") + "'" for path in paths)
    return f"read_parquet([{listed}])"


def get_keys_per_shard(shard_rows: int) -> int:
    """Return the distance between the first keys of two consecutive shards."""
    return int(format_key(1, 0, shard_rows))
