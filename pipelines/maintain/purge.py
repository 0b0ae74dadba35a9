"""Media that are to be gone for good: their shards are written again without them, under other numbers.

The rows stay, as `filtered/purged`: what a person asked to take out is not fetched again. Their neighbours
get other keys, so that no key ever means two things. The plan that says so is written last: until then no
shard is changed, and from then on what shows the media is waste, which `echolens clean` removes.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.errors import ConfigError
from pipelines.stage import Batch, count_rows
from pipelines.store import plans
from pipelines.store.counts import as_integers
from pipelines.store.root import Root
from pipelines.store.shards import Shard, commit_media, commit_vectors, get_vectors_marker, read_media
from schemas.candidate import SHARD, format_key, parse_key
from schemas.sample import MEMBERS
from schemas.vectors import CHOICE, COLUMNS_OF, decode_segment, decode_smaller_batches, decode_spaces
from schemas.version import MISSING, SUPERSEDED

_BATCH_ROWS = 64
# What says something of media that are gone.
_OF_MEDIA = (
    "width", "height", "original_width", "original_height", "exif", "sha256", "peak_dbfs", "sound_s",
    "full_scale_share", "frame_change",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class PurgePlan:
    """What is to go.

    Attributes:
        keys: of the samples, as integers, ascending: those asked for, and those with the same media.
        same: how many of them only have the same media.
        shards: that are written again.
    """

    keys: tuple[int, ...]
    same: int
    shards: tuple[Shard, ...]


@dataclass(frozen=True, slots=True)
class RewrittenShards:
    """Shards that were written again and are in no plan yet.

    Attributes:
        lines: of the plan's table of shards (SHARD).
        renamed: the key of each of their rows -> the one that it gets.
        dropped: numbers of the shards whose place they take.
    """

    lines: tuple[dict[str, Any], ...]
    renamed: dict[str, str]
    dropped: tuple[int, ...]


def find(root: Root, asked: Collection[str], shard_rows: int) -> PurgePlan:
    """Return what it takes to take keys out for good.

    Raises:
        ConfigError: a key is none of this dataset, or none any more.
    """
    there = {shard.number: shard for shard in plans.list_shards(root)}
    dropped = plans.read_dropped(root)
    numbers: set[int] = set()
    for key in asked:
        shard, row = parse_key(key, shard_rows) if key.isdecimal() else (-1, 0)
        if shard in dropped:
            raise ConfigError(
                f"the samples of key {key}'s shard have other keys since a purge; look the key up again, or "
                "run `echolens clean --yes` if that purge was cut off"
            )
        if shard not in there or row >= there[shard].rows:
            raise ConfigError(f"{key!r} is no key of {root.url}; give keys as `echolens lookup` shows them")
        numbers.add(int(key))
    fetched = [f"media/{shard.name}.parquet" for shard in there.values() if shard.kind != "text"]
    hashes: set[str] = set()
    for path in fetched:
        table = root.read_table(path, columns=["key", "sha256"])
        mine = np.isin(as_integers(table["key"]), list(numbers))
        hashes |= set(table.filter(pa.array(mine))["sha256"].drop_null().to_pylist())
    whole = set(numbers)
    for path in fetched if hashes else []:
        table = root.read_table(path, columns=["key", "sha256"])
        same = pc.is_in(table["sha256"], value_set=pa.array(sorted(hashes)))
        whole |= set(as_integers(table.filter(same)["key"]).tolist())
    places = sorted({parse_key(key, shard_rows)[0] for key in whole})
    return PurgePlan(tuple(sorted(whole)), len(whole - numbers), tuple(there[place] for place in places))


def write_again(root: Root, purge: PurgePlan, shard_rows: int) -> RewrittenShards:
    """Write the shards of a purge under other numbers; they are in no plan yet."""
    plans.remove_orphans(root)
    first = plans.get_next_shard(root)
    gone = frozenset(purge.keys)
    renamed: dict[str, str] = {}
    lines = []
    for number, old in enumerate(purge.shards, first):
        new = Shard(number, old.kind, old.lane, old.rows)
        names = {
            format_key(old.number, row, shard_rows): format_key(number, row, shard_rows)
            for row in range(old.rows)
        }
        renamed |= names
        root.write(f"candidates/{new.name}.parquet", root.read(f"candidates/{old.name}.parquet"))
        if old.kind != "text":
            commit_media(root, new, _media(root, old, names, gone), time.time())
        for set_name in root.list_names("vectors"):
            _write_vectors(root, set_name, (old, new), names, gone)
        lines.append({"shard": number, "kind": old.kind, "lane": old.lane, "rows": old.rows})
    return RewrittenShards(tuple(lines), renamed, tuple(shard.number for shard in purge.shards))


def _media(root: Root, old: Shard, names: dict[str, str], gone: Collection[int]) -> Batch:
    """Return the rows of a shard with other keys, and without the media that are to go."""
    table = root.read_table(f"media/{old.name}.parquet")
    batch: Batch = table.to_pydict()
    media: dict[str, dict[str, bytes]] = {}
    members = [member for member in MEMBERS[old.kind] if member not in ("json", "txt")]
    for samples in read_media(root, old, _BATCH_ROWS):
        for row in range(count_rows(samples)):
            media[samples["key"][row]] = {member: samples[member][row] for member in members}
    for member in members:
        batch[member] = [media.get(key, {}).get(member) for key in batch["key"]]
    for row, key in enumerate(batch["key"]):
        if int(key) in gone:
            batch["outcome"][row], batch["reason"][row] = "filtered", "purged"
            batch["status"][row], batch["error_message"][row] = "failed_to_resize", "taken out on request"
            for name in (*_OF_MEDIA, *members):
                batch[name][row] = None
    batch["key"] = [names[key] for key in batch["key"]]
    return batch


def _write_vectors(
    root: Root, set_name: str, shards: tuple[Shard, Shard], names: dict[str, str], gone: Collection[int]
) -> None:
    old, new = shards
    marker = get_vectors_marker(set_name, old)
    if not root.exists(marker):
        return
    table = root.read_table(marker)
    batches = _vectors(table, old, names, gone)
    commit_vectors(root, set_name, new, decode_spaces(table.schema), batches, decode_segment(table.schema))


def _vectors(table: pa.Table, old: Shard, names: dict[str, str], gone: Collection[int]) -> Iterator[Batch]:
    """Yield the vectors of a shard with other keys; a text that is to go stays without any."""
    smaller = decode_smaller_batches(table.schema)
    for part in table.to_batches(max_chunksize=1000):
        batch: dict[str, list[Any]] = part.to_pydict()
        batch |= {f"{name}_batch_rows": [least] * part.num_rows for name, least in smaller.items()}
        leaving = [int(key) in gone for key in batch["key"]]
        for name in COLUMNS_OF[old.kind]:
            if name in batch:
                batch[name] = [
                    None if left or value is None else np.asarray(value, dtype=np.float16)
                    for value, left in zip(batch[name], leaving, strict=True)
                ]
                batch[f"{name}_norm"] = [
                    None if left else value
                    for value, left in zip(batch[f"{name}_norm"], leaving, strict=True)
                ]
        for row in np.flatnonzero(leaving):
            batch["outcome"][row], batch["reason"][row] = "filtered", "purged"
            for chosen in batch.keys() & set(CHOICE.names):
                batch[chosen][row] = None
        batch["key"] = [names[key] for key in batch["key"]]
        stays = [row for row, left in enumerate(leaving) if not left or old.kind == "text"]
        if stays:
            yield {name: [values[row] for row in stays] for name, values in batch.items()}


def put_in_place(root: Root, rewritten: RewrittenShards) -> None:
    """Write the plan that puts shards in the place of others; then it is done, whatever is left to remove."""
    lines, renamed = rewritten.lines, rewritten.renamed
    before, folder = plans.list_folders(root)[-1], plans.get_next_folder(root)
    tried_again = plans.read_superseded(root).to_pylist()
    # A key that was tried again under one that is renamed stays hidden, by the other name.
    chains = [
        {"key": renamed.get(row["key"], row["key"]), "by": renamed.get(row["by"], row["by"])}
        for row in tried_again
        if row["key"] in renamed
    ]
    root.write_table(f"{folder}/shards.parquet", pa.Table.from_pylist(list(lines), schema=SHARD))
    root.write_table(f"{folder}/superseded.parquet", pa.Table.from_pylist(chains, schema=SUPERSEDED))
    numbers = [{"shard": number} for number in rewritten.dropped]
    root.write_table(f"{folder}/dropped.parquet", pa.Table.from_pylist(numbers, schema=plans.DROPPED))
    purged_unlisted = _renamed(plans.read_unlisted(root), renamed, plans.KEYS)
    root.write_table(f"{folder}/unlisted.parquet", purged_unlisted)
    root.write_table(f"{folder}/missing.parquet", _renamed(plans.read_missing(root), renamed, MISSING))
    root.write_table(f"{folder}/dead.parquet", _renamed(plans.read_dead(root), renamed, MISSING))
    for name in ("filtered.parquet", "rejects.parquet", plans.MARKER):
        root.write(f"{folder}/{name}", root.read(f"{before}/{name}"))


def _renamed(table: pa.Table, renamed: dict[str, str], schema: pa.Schema) -> pa.Table:
    lines = [row | {"key": renamed.get(row["key"], row["key"])} for row in table.to_pylist()]
    return pa.Table.from_pylist(sorted(lines, key=lambda row: int(row["key"])), schema=schema)
