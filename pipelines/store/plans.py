"""The plans of a root: that of the build in plan/, and one of every later job that changed it in plan/NNNN/.

| file               | what it says                                                                     |
|--------------------|----------------------------------------------------------------------------------|
| shards.parquet     | the shards that this plan adds                                                   |
| filtered.parquet   | candidates that the lists rule out, all of them                                  |
| rejects.parquet    | rows that could not be parsed, all of them                                       |
| superseded.parquet | keys that this plan retries, and under which new key                             |
| unlisted.parquet   | keys whose rows are in no list any more, all of them                             |
| dead.parquet       | keys of samples whose link is gone for good, all of them                         |
| missing.parquet    | keys of samples whose link was found dead so far once                            |
| dropped.parquet    | shards that belong to no later version                                           |
| counts.json        | row counts of the lists; the marker that the plan is complete                    |

The build's plan has no overlays. A plan never changes; the last one is the one to carry out.
"""

from __future__ import annotations

import pyarrow as pa

from pipelines.errors import StorageError
from pipelines.store.dataset_file import read_shard_rows
from pipelines.store.json_file import read_json
from pipelines.store.parquet_file import select_schema
from pipelines.store.root import Root
from pipelines.store.shards import Shard, list_planned
from schemas.candidate import SHARD, parse_key, parse_shard
from schemas.plan import PlanCounts
from schemas.version import MISSING, SUPERSEDED

FIRST = "plan"
MARKER = "counts.json"

KEYS = pa.schema([pa.field("key", pa.string(), nullable=False)], metadata={"table": "keys/1"})
NO_SHARDS = SHARD.empty_table()
DROPPED = pa.schema([pa.field("shard", pa.int32(), nullable=False)], metadata={"table": "dropped/1"})


def list_folders(root: Root) -> list[str]:
    """Return the folders of all complete plans, the build's first."""
    if not root.exists(f"{FIRST}/{MARKER}"):
        return []
    later = [f"{FIRST}/{name}" for name in root.list_names(FIRST) if name.isdigit()]
    return [FIRST, *(folder for folder in later if root.exists(f"{folder}/{MARKER}"))]


def get_next_folder(root: Root) -> str:
    """Return the folder of the next plan."""
    return f"{FIRST}/{len(list_folders(root)) + 1:04d}"


def read_counts(root: Root, folder: str) -> PlanCounts:
    """Return the row counts of a plan's lists.

    Raises:
        StorageError: they are missing or damaged.
    """
    try:
        return read_json(root, f"{folder}/{MARKER}", PlanCounts, "put it back from a copy")
    except FileNotFoundError as error:
        raise StorageError(f"{root.url} has no {folder}/{MARKER}; put it back from a copy") from error


def list_shards(root: Root) -> list[Shard]:
    """Return every shard of every plan that was not dropped, in ascending order."""
    planned = [shard for folder in list_folders(root) for shard in list_planned(root, folder)]
    dropped = read_dropped(root)
    return sorted((shard for shard in planned if shard.number not in dropped), key=lambda shard: shard.number)


def read_dropped(root: Root) -> frozenset[int]:
    """Return the numbers of the shards that no longer belong to the dataset."""
    tables = [read_overlay(root, folder, "dropped", DROPPED) for folder in list_folders(root)]
    return frozenset(number for table in tables for number in table["shard"].to_pylist())


def get_next_shard(root: Root) -> int:
    """Return the first number that no plan has ever given to a shard."""
    numbers = [shard.number for folder in list_folders(root) for shard in list_planned(root, folder)]
    return max(numbers, default=-1) + 1


def remove_orphans(root: Root) -> None:
    """Remove files of shards of no plan: a job that was killed before its plan was complete leaves them."""
    next_shard = get_next_shard(root)
    sets = [f"vectors/{name}" for name in root.list_names("vectors")]
    for folder in ("candidates", "media", *sets):
        for name in root.list_names(folder):
            if (parse_shard(name) or 0) >= next_shard:
                root.remove(f"{folder}/{name}")


def read_overlay(root: Root, folder: str, name: str, schema: pa.Schema) -> pa.Table:
    """Return a table of a plan; empty if the plan has none."""
    path = f"{folder}/{name}.parquet"
    if not root.exists(path):
        return schema.empty_table()
    return select_schema(root.read_table(path, columns=schema.names), schema, f"{root.url}/{path}")


def read_superseded(root: Root) -> pa.Table:
    """Return every key that was retried (SUPERSEDED), of shards that were not dropped."""
    tables = [read_overlay(root, folder, "superseded", SUPERSEDED) for folder in list_folders(root)]
    superseded = pa.concat_tables([SUPERSEDED.empty_table(), *tables])
    dropped = read_dropped(root)
    if not dropped:
        return superseded
    shard_rows = read_shard_rows(root)
    kept = [parse_key(key, shard_rows)[0] not in dropped for key in superseded["key"].to_pylist()]
    return superseded.filter(pa.array(kept, pa.bool_()))


def read_unlisted(root: Root) -> pa.Table:
    """Return the keys whose rows are in no list any more (KEYS), by the last plan."""
    return read_overlay(root, list_folders(root)[-1], "unlisted", KEYS)


def read_missing(root: Root) -> pa.Table:
    """Return the samples whose link was found dead once so far (MISSING), by the last plan."""
    return read_overlay(root, list_folders(root)[-1], "missing", MISSING)


def read_dead(root: Root) -> pa.Table:
    """Return the samples whose link is gone for good (MISSING), by the last plan."""
    return read_overlay(root, list_folders(root)[-1], "dead", MISSING)
