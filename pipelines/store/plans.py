"""The plans of a root: that of the build in plan/, and one of every later job that changed it in plan/NNNN/.

| file               | what it says                                                                     |
|--------------------|----------------------------------------------------------------------------------|
| shards.parquet     | the shards that this plan adds                                                   |
| filtered.parquet   | what the lists rule out, all of it                                               |
| rejects.parquet    | what could not be parsed, all of it                                              |
| superseded.parquet | keys that this plan tries again, and under which key                             |
| unlisted.parquet   | keys whose rows no list has any more, all of them                                |
| dead.parquet       | keys of samples whose link is gone for good, all of them                         |
| missing.parquet    | keys of samples whose link was found dead so far once                            |
| dropped.parquet    | shards that belong to no version from here on                                    |
| counts.json        | what the lists held; the marker that the plan is whole                           |

The build's plan has no overlays. A plan never changes; the last one is the one to bring through.
"""

from __future__ import annotations

import json

import pyarrow as pa

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
    """Return the folders of all whole plans, the build's first."""
    if not root.exists(f"{FIRST}/{MARKER}"):
        return []
    later = [f"{FIRST}/{name}" for name in root.list_names(FIRST) if name.isdigit()]
    return [FIRST, *(folder for folder in later if root.exists(f"{folder}/{MARKER}"))]


def get_next_folder(root: Root) -> str:
    """Return the folder of the plan to come."""
    return f"{FIRST}/{len(list_folders(root)) + 1:04d}"


def read_counts(root: Root, folder: str) -> PlanCounts:
    """Return what the lists held."""
    return PlanCounts.model_validate_json(root.read(f"{folder}/{MARKER}"))


def list_shards(root: Root) -> list[Shard]:
    """Return every shard of every plan that was not dropped, in the order of their numbers."""
    found: list[Shard] = []
    for folder in list_folders(root):
        found += list_planned(root, folder)
    gone = read_dropped(root)
    return sorted((shard for shard in found if shard.number not in gone), key=lambda shard: shard.number)


def read_dropped(root: Root) -> frozenset[int]:
    """Return the numbers of shards that belong to the dataset no more."""
    tables = [read_overlay(root, folder, "dropped", DROPPED) for folder in list_folders(root)]
    return frozenset(number for table in tables for number in table["shard"].to_pylist())


def get_next_shard(root: Root) -> int:
    """Return the first number that no plan has ever given to a shard."""
    return (
        max(
            (shard.number for folder in list_folders(root) for shard in list_planned(root, folder)),
            default=-1,
        )
        + 1
    )


def remove_orphans(root: Root) -> None:
    """Remove what a job left behind that was killed before its plan was whole: files of shards of no plan."""
    beyond = get_next_shard(root)
    sets = [f"vectors/{name}" for name in root.list_names("vectors")]
    for folder in ("candidates", "media", *sets):
        for name in root.list_names(folder):
            if (parse_shard(name) or 0) >= beyond:
                root.remove(f"{folder}/{name}")


def read_overlay(root: Root, folder: str, name: str, schema: pa.Schema) -> pa.Table:
    """Return a table of a plan; empty if the plan has none."""
    path = f"{folder}/{name}.parquet"
    return root.read_table(path) if root.exists(path) else schema.empty_table()


def read_superseded(root: Root) -> pa.Table:
    """Return every key that was tried again (SUPERSEDED), of shards that are there."""
    tables = [read_overlay(root, folder, "superseded", SUPERSEDED) for folder in list_folders(root)]
    whole = pa.concat_tables([SUPERSEDED.empty_table(), *tables])
    gone = read_dropped(root)
    if not gone:
        return whole
    shard_rows = json.loads(root.read("dataset.json"))["dataset"]["shard_rows"]
    kept = [parse_key(key, shard_rows)[0] not in gone for key in whole["key"].to_pylist()]
    return whole.filter(pa.array(kept, pa.bool_()))


def read_unlisted(root: Root) -> pa.Table:
    """Return the keys whose rows no list has any more (KEYS), by the last plan."""
    return read_overlay(root, list_folders(root)[-1], "unlisted", KEYS)


def read_missing(root: Root) -> pa.Table:
    """Return the samples whose link was found dead once (MISSING), by the last plan."""
    return read_overlay(root, list_folders(root)[-1], "missing", MISSING)


def read_dead(root: Root) -> pa.Table:
    """Return the samples whose link is gone for good (MISSING), by the last plan."""
    return read_overlay(root, list_folders(root)[-1], "dead", MISSING)
