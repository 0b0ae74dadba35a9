"""Purge media for good: their shards are rewritten without them, under other numbers.

The rows stay, as `filtered/purged`, so that purged media are not fetched again. The other rows of their
shards get new keys, so that no key ever has two meanings. The plan is written last: until then no shard is
changed, and from then on every file with the media is garbage, which `echolens clean` removes.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.errors import ConfigError, StorageError
from pipelines.maintain.clean import GarbageFile, find_garbage, find_traces, list_kept_versions, remove
from pipelines.maintain.publish import publish_in_subprocess
from pipelines.stage import Batch, count_rows
from pipelines.store import plans, versions
from pipelines.store.counts import as_integers
from pipelines.store.lease import hold_lease
from pipelines.store.root import Root
from pipelines.store.shards import Shard, commit_media, commit_vectors, get_vectors_marker, read_media
from pipelines.store.windows import copy_windows
from schemas.candidate import SHARD, format_key, parse_key
from schemas.dataset import Dataset
from schemas.sample import MEMBERS
from schemas.vectors import CHOICE, PROMPTED_CHOICE, decode_segment, decode_smaller_batches, decode_spaces
from schemas.version import MISSING, SUPERSEDED

_BATCH_ROWS = 64
# Columns that describe the media; cleared with them.
_MEDIA_COLUMNS = (
    "width", "height", "original_width", "original_height", "exif", "sha256", "peak_dbfs", "sound_s",
    "full_scale_share", "frame_change",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class PurgePlan:
    """What is purged.

    Attributes:
        keys: of the samples, as integers, ascending: those requested, and those with the same media.
        duplicates: how many of them were not requested but have the same media.
        shards: that are rewritten.
    """

    keys: tuple[int, ...]
    duplicates: int
    shards: tuple[Shard, ...]


@dataclass(frozen=True, slots=True)
class RewrittenShards:
    """Shards that were rewritten and are in no plan yet.

    Attributes:
        lines: of the plan's table of shards (SHARD).
        renamed: old key -> new key of each of their rows.
        dropped: numbers of the shards that they replace.
    """

    lines: tuple[dict[str, Any], ...]
    renamed: dict[str, str]
    dropped: tuple[int, ...]


def purge(dataset: Dataset, keys: Sequence[str], yes: bool) -> tuple[PurgePlan, list[int], list[GarbageFile]]:
    """Remove media for good; return the plan, the versions that are dropped and the files that are removed.

    Args:
        dataset: as its root has it.
        keys: of the samples.
        yes: whether to do it; else nothing is written.
    """
    root = Root.from_dataset(dataset)
    numbers = versions.list_numbers(root)
    if not yes:
        return plan_purge(root, keys, dataset.shard_rows), numbers, []
    with hold_lease(root, "clean") as lease:
        newest = {
            version.set: version for version in (versions.read_version(root, number) for number in numbers)
        }
        for name in newest:
            if versions.find_unchanged(root, name) is None:
                raise StorageError(
                    f"set {name!r} of {root.url} is not at its end; run `echolens build` on its file first"
                )
        plan = plan_purge(root, keys, dataset.shard_rows)
        rewritten = rewrite_shards(root, plan, dataset.shard_rows)
        lease.check()
        # Removed before the plan is written: if the purge is killed after that, `clean` finds the rest.
        traces = find_traces(root, {shard.number for shard in plan.shards})
        remove(root, traces)
        write_plan(root, rewritten)
        # The set that was current stays current: its version is the last.
        for name, _ in sorted(newest.items(), key=lambda item: item[1].number):
            publish_in_subprocess(root, _with_set(dataset, name))
        kept = list_kept_versions(root, len(numbers) + len(newest))
        garbage = find_garbage(root, kept)
        remove(root, garbage)
        dropped = sorted(set(numbers) - {version.number for version in kept})
        return plan, dropped, traces + garbage


def _with_set(dataset: Dataset, name: str) -> Dataset:
    return dataset.model_copy(update={"encode": dataset.encode.model_copy(update={"set": name})})


def plan_purge(root: Root, requested_keys: Collection[str], shard_rows: int) -> PurgePlan:
    """Return what has to be purged with some keys.

    Raises:
        ConfigError: the dataset has no such key, or no longer has it.
    """
    shards = {shard.number: shard for shard in plans.list_shards(root)}
    dropped = plans.read_dropped(root)
    numbers: set[int] = set()
    for key in requested_keys:
        shard, row = parse_key(key, shard_rows) if key.isdecimal() else (-1, 0)
        if shard in dropped:
            raise ConfigError(
                f"the samples of key {key}'s shard have other keys since a purge; look the key up again, or "
                "run `echolens clean --yes` if that purge was cut off"
            )
        if shard not in shards or row >= shards[shard].rows:
            raise ConfigError(f"{key!r} is no key of {root.url}; give keys as `echolens lookup` shows them")
        numbers.add(int(key))
    fetched = [f"media/{shard.name}.parquet" for shard in shards.values() if shard.kind != "text"]
    hashes: set[str] = set()
    for path in fetched:
        table = root.read_table(path, columns=["key", "sha256"])
        requested = np.isin(as_integers(table["key"]), list(numbers))
        hashes |= set(table.filter(pa.array(requested))["sha256"].drop_null().to_pylist())
    keys = set(numbers)
    for path in fetched if hashes else []:
        table = root.read_table(path, columns=["key", "sha256"])
        same = pc.is_in(table["sha256"], value_set=pa.array(sorted(hashes)))
        keys |= set(as_integers(table.filter(same)["key"]).tolist())
    affected = sorted({parse_key(key, shard_rows)[0] for key in keys})
    return PurgePlan(tuple(sorted(keys)), len(keys - numbers), tuple(shards[number] for number in affected))


def rewrite_shards(root: Root, plan: PurgePlan, shard_rows: int) -> RewrittenShards:
    """Write the shards of a purge again, under new numbers; they are in no plan yet."""
    plans.remove_orphans(root)
    first = plans.get_next_shard(root)
    purged = frozenset(plan.keys)
    renamed: dict[str, str] = {}
    lines = []
    for number, old in enumerate(plan.shards, first):
        new = Shard(number, old.kind, old.lane, old.rows)
        names = {
            format_key(old.number, row, shard_rows): format_key(number, row, shard_rows)
            for row in range(old.rows)
        }
        renamed |= names
        root.write(f"candidates/{new.name}.parquet", root.read(f"candidates/{old.name}.parquet"))
        if old.kind != "text":
            commit_media(root, new, _read_media(root, old, names, purged), time.time())
        for set_name in root.list_names("vectors"):
            _write_vectors(root, set_name, (old, new), names, purged)
        lines.append({"shard": number, "kind": old.kind, "lane": old.lane, "rows": old.rows})
    return RewrittenShards(tuple(lines), renamed, tuple(shard.number for shard in plan.shards))


def _read_media(root: Root, old: Shard, names: dict[str, str], purged: Collection[int]) -> Batch:
    """Return the rows of a shard with new keys, and without the purged media."""
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
        if int(key) in purged:
            batch["outcome"][row], batch["reason"][row] = "filtered", "purged"
            batch["status"][row], batch["error_message"][row] = "failed_to_resize", "taken out on request"
            for name in (*_MEDIA_COLUMNS, *members):
                batch[name][row] = None
    batch["key"] = [names[key] for key in batch["key"]]
    return batch


def _write_vectors(
    root: Root, set_name: str, shards: tuple[Shard, Shard], names: dict[str, str], purged: Collection[int]
) -> None:
    old, new = shards
    marker = get_vectors_marker(set_name, old)
    if not root.exists(marker):
        return
    table = root.read_table(marker)
    batches = _read_vectors(table, old, names, purged)
    copy_windows(root, set_name, shards, names, purged)
    commit_vectors(root, set_name, new, decode_spaces(table.schema), batches, decode_segment(table.schema))


def _read_vectors(
    table: pa.Table, old: Shard, names: dict[str, str], purged: Collection[int]
) -> Iterator[Batch]:
    """Yield the vectors of a shard with new keys; a purged text stays as a row without vectors."""
    smaller = decode_smaller_batches(table.schema)
    for part in table.to_batches(max_chunksize=1000):
        batch: dict[str, list[Any]] = part.to_pydict()
        batch |= {f"{name}_batch_rows": [least] * part.num_rows for name, least in smaller.items()}
        is_purged = [int(key) in purged for key in batch["key"]]
        for name in decode_spaces(table.schema):
            batch[name] = [
                None if gone or value is None else np.asarray(value, dtype=np.float16)
                for value, gone in zip(batch[name], is_purged, strict=True)
            ]
            batch[f"{name}_norm"] = [
                None if gone else value for value, gone in zip(batch[f"{name}_norm"], is_purged, strict=True)
            ]
        for row in np.flatnonzero(is_purged):
            batch["outcome"][row], batch["reason"][row] = "filtered", "purged"
            for chosen in batch.keys() & {*CHOICE.names, *PROMPTED_CHOICE.names}:
                batch[chosen][row] = None
        batch["key"] = [names[key] for key in batch["key"]]
        kept = [row for row, gone in enumerate(is_purged) if not gone or old.kind == "text"]
        if kept:
            yield {name: [values[row] for row in kept] for name, values in batch.items()}


def write_plan(root: Root, rewritten: RewrittenShards) -> None:
    """Write the plan that replaces shards by their rewritten ones, which commits the purge."""
    lines, renamed = rewritten.lines, rewritten.renamed
    before, folder = plans.list_folders(root)[-1], plans.get_next_folder(root)
    superseded = plans.read_superseded(root).to_pylist()
    # A superseded key that is renamed stays hidden, under its new name.
    chains = [
        {"key": renamed.get(row["key"], row["key"]), "by": renamed.get(row["by"], row["by"])}
        for row in superseded
        if row["key"] in renamed
    ]
    root.write_table(f"{folder}/shards.parquet", pa.Table.from_pylist(list(lines), schema=SHARD))
    root.write_table(f"{folder}/superseded.parquet", pa.Table.from_pylist(chains, schema=SUPERSEDED))
    numbers = [{"shard": number} for number in rewritten.dropped]
    root.write_table(f"{folder}/dropped.parquet", pa.Table.from_pylist(numbers, schema=plans.DROPPED))
    purged_unlisted = _rename_keys(plans.read_unlisted(root), renamed, plans.KEYS)
    root.write_table(f"{folder}/unlisted.parquet", purged_unlisted)
    root.write_table(f"{folder}/missing.parquet", _rename_keys(plans.read_missing(root), renamed, MISSING))
    root.write_table(f"{folder}/dead.parquet", _rename_keys(plans.read_dead(root), renamed, MISSING))
    for name in ("filtered.parquet", "rejects.parquet", plans.MARKER):
        root.write(f"{folder}/{name}", root.read(f"{before}/{name}"))


def _rename_keys(table: pa.Table, renamed: dict[str, str], schema: pa.Schema) -> pa.Table:
    lines = [row | {"key": renamed.get(row["key"], row["key"])} for row in table.to_pylist()]
    return pa.Table.from_pylist(sorted(lines, key=lambda row: int(row["key"])), schema=schema)
