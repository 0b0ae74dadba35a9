"""The candidates of a version as a polars frame that reads shards when it is collected."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pyarrow as pa

from pipelines.errors import StorageError
from pipelines.store import versions
from pipelines.store.counts import Overlay, as_integers
from pipelines.store.root import Root
from pipelines.store.shards import Shard, read_candidates
from schemas.sample import SAMPLE
from schemas.version import Version

if TYPE_CHECKING:
    import polars as pl

_KEY = pa.field("key", pa.uint64(), nullable=False)
# Of a text shard, which has no table of media.
_ARRIVED = {"status": "success", "outcome": "ok", "reason": ""}
_OUTCOME = ("outcome", "reason")


def open_table(root: Root, version: Version, shard_rows: int) -> pl.LazyFrame:
    """Return the candidates of a version; outcomes are those of the version, not of the first fetch.

    Args:
        root: of the dataset.
        version: of the root.
        shard_rows: of the dataset.
    """
    import polars as pl
    from polars.io.plugins import register_io_source

    # Read now: the version may be cleaned away before the frame is collected.
    shards, overlay = versions.read_shards(root, version), versions.read_overlay(root, version.number)
    fields = [_KEY, *(field for field in SAMPLE if field.name != "key")]
    schema = pl.DataFrame(pa.schema(fields).empty_table()).schema

    def read(
        columns: list[str] | None,
        predicate: pl.Expr | None,
        rows: int | None,
        size: int | None,  # noqa: ARG001 - a shard is a batch
    ) -> Iterator[pl.DataFrame]:
        wanted, left = columns or list(schema), rows
        for shard in shards:
            if left is not None and left <= 0:
                return
            table = _read_shard(root, shard, shard_rows, overlay, wanted)
            frame = pl.DataFrame(table).cast({name: schema[name] for name in wanted}).select(wanted)
            frame = frame if left is None else frame.head(left)
            left = None if left is None else left - len(frame)
            yield frame if predicate is None else frame.filter(predicate)

    return register_io_source(read, schema=schema)


def _read_shard(root: Root, shard: Shard, shard_rows: int, overlay: Overlay, columns: list[str]) -> pa.Table:
    """Return columns of the visible candidates of a shard, with the outcomes of the version."""
    read = list(dict.fromkeys(["key", *columns, *_OUTCOME]))
    table = _read_texts(root, shard, shard_rows, read)
    if table is None:
        name = f"media/{shard.name}.parquet"
        try:
            table = root.read_table(name, columns=read)
        except FileNotFoundError as error:
            raise StorageError(f"{root.url} has no {name}; run `echolens build` on its file again") from error
    table = overlay.select_visible_rows(table)
    changed = {line["key"]: line for line in overlay.select_tombstones(table).to_pylist()}
    keys = table["key"].to_pylist()
    for name in _OUTCOME:
        values = zip(keys, table[name].to_pylist(), strict=True)
        own = [changed[key][name] if key in changed else value for key, value in values]
        table = table.set_column(table.schema.get_field_index(name), name, pa.array(own, pa.string()))
    return table.set_column(0, _KEY, pa.array(as_integers(table["key"]), pa.uint64()))


def _read_texts(root: Root, shard: Shard, shard_rows: int, columns: list[str]) -> pa.Table | None:
    """Return columns of a shard without media; None if it has some."""
    if shard.kind != "text":
        return None
    batch = read_candidates(root, shard, shard_rows)
    rows = len(batch["key"])
    filled = {name: batch.get(name, [_ARRIVED.get(name)] * rows) for name in columns}
    return pa.table({name: pa.array(values, SAMPLE.field(name).type) for name, values in filled.items()})
