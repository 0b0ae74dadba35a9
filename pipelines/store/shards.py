"""A shard on disk: candidates in, media and vectors out, each committed by writing its marker last.

Bytes are deterministic: members sorted by key and name, no times, no owners. Only `_stats.json` has times,
and the dataset's digest does not cover it.
"""

from __future__ import annotations

import io
import json
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.errors import DamagedArchiveError, StorageError
from pipelines.stage import Batch, count_rows
from pipelines.store.candidate_extras import extend_schema, read_candidate_table, unpack_kept
from pipelines.store.json_file import read_json
from pipelines.store.root import Root
from pipelines.store.tar import write_tar
from pipelines.store.untrusted_tar import iterate_infos, read_member
from schemas.candidate import CANDIDATE, KINDS, SHARD, Kind, format_key, format_shard
from schemas.families import Column, is_embedded, sort_columns
from schemas.media_stats import MediaStats
from schemas.outcome import format_outcome
from schemas.sample import MEMBERS, SAMPLE
from schemas.segment import WHOLE, Segment
from schemas.space import Space
from schemas.vectors import make_vectors_schema, mark_smaller_batches

# Columns that encode needs beside the media; the vectors table starts with them.
ROW = ("key", "id", "kind", "source", "outcome", "reason")
_SAMPLE_COLUMNS = (*ROW, "caption", "width", "length_s")
# Of a picture or a sound in a tar: some 50 minutes of FLAC. A row takes it into memory.
MAX_MEMBER_BYTES = 2**28
# What `read_candidates` yields.
CANDIDATE_COLUMNS = (*CANDIDATE.names, "key", "outcome", "reason")


@dataclass(frozen=True, slots=True)
class Shard:
    """The unit of work, retry and commit."""

    number: int
    kind: Kind
    lane: str
    rows: int

    @property
    def name(self) -> str:
        """The number in five digits."""
        return format_shard(self.number)


def list_planned(root: Root, folder: str = "plan") -> list[Shard]:
    """Return every shard of a plan in ascending order."""
    table = root.read_table(f"{folder}/shards.parquet", columns=SHARD.names).to_pylist()
    kinds: Mapping[str, Kind] = {kind: kind for kind in KINDS}
    return [Shard(row["shard"], kinds[row["kind"]], row["lane"], row["rows"]) for row in table]


def with_tables(root: Root, folder: str, shards: Collection[int]) -> frozenset[int]:
    """Return the shards that have a table in a folder, from one listing."""
    # Beside the table of a shard may lie others of it, as NNNNN.windows.parquet.
    names = (name.removesuffix(".parquet") for name in root.list_names(folder, ".parquet"))
    return frozenset(shards).intersection(int(name) for name in names if name.isdecimal())


def get_media_marker(shard: Shard) -> str:
    """Return the path of the file that marks the media of a shard as committed."""
    return f"media/{shard.name}_stats.json"


def get_vectors_marker(set_name: str, shard: Shard) -> str:
    """Return the path of the file that marks the vectors of a shard as committed."""
    return f"vectors/{set_name}/{shard.name}.parquet"


def read_stats(root: Root, shard: Shard) -> MediaStats:
    """Return the stats of a shard's media.

    Raises:
        StorageError: they are missing or damaged.
    """
    name = get_media_marker(shard)
    try:
        return read_json(root, name, MediaStats, "remove it and run the build again")
    except FileNotFoundError as error:
        raise StorageError(f"{root.url} has no {name}; run `echolens build` on its file again") from error


def read_candidates(root: Root, shard: Shard, shard_rows: int) -> Batch:
    """Return all candidates of a shard as one batch, with their keys and the initial outcome `ok`."""
    table = read_candidate_table(root, f"candidates/{shard.name}.parquet")
    batch: Batch = table.to_pydict()
    batch["key"] = [format_key(shard.number, row, shard_rows) for row in range(table.num_rows)]
    batch["outcome"] = ["ok"] * table.num_rows
    batch["reason"] = [""] * table.num_rows
    return batch


def commit_media(root: Root, shard: Shard, batch: Batch, started: float) -> None:
    """Write the tar and the table of a shard, then its marker.

    Args:
        root: that is written to.
        shard: whose media.
        batch: SAMPLE's columns, those of CANDIDATE_EXTRAS that there are, and the members of the shard's
            kind, for every row of the shard.
        started: `time.time()` at the start of the shard, for img2dataset's stats.
    """
    count = count_rows(batch)
    schema = extend_schema(SAMPLE, batch)
    table = pa.Table.from_pydict(
        {field.name: batch.get(field.name, [None] * count) for field in schema}, schema=schema
    )
    with root.write_atomically(f"media/{shard.name}.tar") as path:
        write_tar(path, _iterate_media_members(shard, table, batch))
    root.write_table(f"media/{shard.name}.parquet", table)
    root.write_json(get_media_marker(shard), _make_stats(batch, started))


def _iterate_media_members(shard: Shard, table: pa.Table, batch: Batch) -> Iterator[tuple[str, bytes]]:
    for row, record in enumerate(table.to_pylist()):
        if record["outcome"] != "ok":
            continue
        for member in MEMBERS[shard.kind]:
            if member == "json":
                data = _format_json(unpack_kept(record))
            elif member == "txt":
                data = record["caption"].encode()
            else:
                data = batch[member][row]
            yield f"{record['key']}.{member}", data


def _make_stats(batch: Batch, started: float) -> dict[str, Any]:
    """Return the content of img2dataset's `_stats.json`."""
    statuses = Counter(batch["status"])
    ended = time.time()
    return {
        "count": count_rows(batch),
        "successes": statuses["success"],
        "failed_to_download": statuses["failed_to_download"],
        "failed_to_resize": statuses["failed_to_resize"],
        "duration": ended - started,
        "start_time": started,
        "end_time": ended,
        "status_dict": dict(
            Counter(
                "success" if outcome == "ok" else format_outcome(outcome, reason)
                for outcome, reason in zip(batch["outcome"], batch["reason"], strict=True)
            )
        ),
    }


def _format_json(record: Mapping[str, Any]) -> bytes:
    """Format a flat record as `json.dumps(record, indent=4)` does, in half of the time."""
    lines = json.dumps(record, separators=(",\n    ", ": "))
    return f"{{\n    {lines[1:-1]}\n}}".encode()


def make_media_columns(kind: Kind) -> tuple[str, ...]:
    """Return the columns that `read_media` yields: `ROW`, caption, width, length_s and the media."""
    return (*_SAMPLE_COLUMNS, *_list_media(kind))


def _list_media(kind: Kind) -> tuple[str, ...]:
    return tuple(member for member in MEMBERS[kind] if member not in ("json", "txt"))


def read_media(root: Root, shard: Shard, batch_rows: int) -> Iterator[Batch]:
    """Yield the samples of a committed shard in batches of `make_media_columns`, streamed from its tar.

    Raises:
        StorageError: the tar is damaged, or its samples are not those of its table.
    """
    table = root.read_table(f"media/{shard.name}.parquet", columns=list(_SAMPLE_COLUMNS)).to_pylist()
    samples = {record["key"]: record for record in table if record["outcome"] == "ok"}
    members = _list_media(shard.kind)
    batch: Batch = {}
    for key, media in _iterate_samples(root, shard):
        if key not in samples or not media.keys() >= set(members):
            raise make_damage_error(root, shard, f"its sample {key} is not the one that its table names")
        record = samples.pop(key) | {member: media[member] for member in members}
        for name, value in record.items():
            batch.setdefault(name, []).append(value)
        if count_rows(batch) == batch_rows:
            yield batch
            batch = {}
    if batch:
        yield batch
    # A tar that was truncated between two members has no visible damage.
    if samples:
        raise make_damage_error(
            root, shard, f"it lacks {len(samples)} samples of its table, the first is {min(samples)}"
        )


def read_rows(root: Root, shard: Shard) -> Iterator[Batch]:
    """Yield what the table of a committed shard says of its samples, at once and without their media."""
    batch: Batch = root.read_table(f"media/{shard.name}.parquet", columns=list(_SAMPLE_COLUMNS)).to_pydict()
    arrived = [row for row, outcome in enumerate(batch["outcome"]) if outcome == "ok"]
    yield {name: [values[row] for row in arrived] for name, values in batch.items()}


def _iterate_samples(root: Root, shard: Shard) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Yield the keys of a tar with their members, which are consecutive."""
    try:
        with root.open(f"media/{shard.name}.tar") as file:
            key = ""
            media: dict[str, bytes] = {}
            for info in iterate_infos(file):
                next_key, _, member = info.name.partition(".")
                if next_key != key and key:
                    yield key, media
                    media = {}
                key = next_key
                media[member] = read_member(file, info, MAX_MEMBER_BYTES)
            if key:
                yield key, media
    except DamagedArchiveError as error:
        raise make_damage_error(root, shard, str(error)) from error


def make_damage_error(root: Root, shard: Shard, damage: str) -> StorageError:
    """Return the error of a media tar that is not what its table says."""
    return StorageError(
        f"{root.url}/media/{shard.name}.tar is damaged: {damage}; remove {get_media_marker(shard)} and build "
        "again, which fetches the shard once more"
    )


def read_texts(root: Root, shard: Shard, shard_rows: int, batch_rows: int) -> Iterator[Batch]:
    """Yield the candidates of a text shard in batches; there are no media to read."""
    candidates = read_candidates(root, shard, shard_rows)
    for start in range(0, count_rows(candidates), batch_rows):
        yield {name: values[start : start + batch_rows] for name, values in candidates.items()}


def commit_vectors(  # noqa: PLR0913, PLR0917
    root: Root,
    set_name: str,
    shard: Shard,
    spaces: Mapping[Column, Space],
    batches: Iterable[Batch],
    segment: Segment = WHOLE,
) -> Counter[str]:
    """Write the vectors of a shard: the WebDataset tar, then the table, which is the marker.

    Args:
        root: that is written to.
        set_name: the set of the dataset's `encode`.
        shard: whose vectors.
        spaces: the space of every column of the set.
        batches: `ROW` and, for every column of the shard's kind, unit float16 vectors [D] (or None), norms
            and the sizes of the batches that they were computed in.
        segment: which part of a clip its vectors stand for.

    Returns:
        The number of vectors in each column.
    """
    schema = make_vectors_schema(spaces, segment)
    columns = [column for column in sort_columns(spaces) if is_embedded(shard.kind, column)]
    tables: list[pa.Table] = []
    smaller: dict[Column, int] = {}
    for batch in batches:
        tables.append(_make_table(schema, spaces, batch))
        # Rows without media may have vectors of media all the same, which their list brings.
        brought = {name for name in spaces if any(each is not None for each in batch.get(name, ()))}
        columns = [column for column in sort_columns(spaces) if column in columns or column in brought]
        for column in columns:
            sizes = filter(None, batch.get(f"{column}_batch_rows", ()))
            if (least := min(sizes, default=spaces[column].batch_rows)) < spaces[column].batch_rows:
                smaller[column] = min(least, smaller.get(column, least))
    schema = mark_smaller_batches(schema, smaller)
    table = pa.concat_tables(tables).combine_chunks() if tables else schema.empty_table()
    table = table.replace_schema_metadata(schema.metadata)
    with root.write_atomically(f"vectors/{set_name}/{shard.name}.tar") as path:
        write_tar(path, _iterate_vector_members(table, columns))
    with root.write_atomically(get_vectors_marker(set_name, shard)) as path:
        # Unit vectors do not compress, so a dictionary would only cost time.
        pq.write_table(table, path, compression="zstd", use_dictionary=list(ROW[2:]))
    return Counter({column: table.num_rows - table[column].null_count for column in columns})


def _make_table(schema: pa.Schema, spaces: Mapping[Column, Space], batch: Batch) -> pa.Table:
    count = count_rows(batch)
    arrays: list[pa.Array] = []
    for field in schema:
        values = batch.get(field.name, [None] * count)
        if field.name in spaces:
            arrays.append(make_vector_array(values, field.type))
        else:
            arrays.append(pa.array(values, type=field.type))
    return pa.Table.from_arrays(arrays, schema=schema)


def make_vector_array(vectors: list[np.ndarray | None], list_type: pa.DataType) -> pa.Array:
    """Return vectors as a column of fixed-size lists of float16; None becomes null."""
    mask = np.array([vector is None for vector in vectors])
    flat = np.zeros((len(vectors), list_type.list_size), dtype=np.float16)
    for row, vector in enumerate(vectors):
        if vector is not None:
            flat[row] = vector
    return pa.FixedSizeListArray.from_arrays(
        pa.array(flat.reshape(-1)), type=list_type, mask=pa.array(mask, type=pa.bool_())
    )


def _iterate_vector_members(table: pa.Table, columns: list[Column]) -> Iterator[tuple[str, bytes]]:
    if not columns:  # captions, in a set whose encoders embed no text
        return
    vectors = {}
    for column in columns:
        flat = table[column].combine_chunks().values.to_numpy()
        vectors[column] = flat.reshape(-1, table.schema.field(column).type.list_size)
    complete = np.logical_and.reduce([table[column].is_valid().to_numpy() for column in columns])
    for row, record in enumerate(table.select(ROW).to_pylist()):
        # All samples of a tar have the same members, so an incomplete row is in the table alone.
        if not complete[row]:
            continue
        for column in sorted(columns):
            buffer = io.BytesIO()
            np.save(buffer, vectors[column][row])
            yield f"{record['key']}.{column}.npy", buffer.getvalue()
        yield f"{record['key']}.json", _format_json(record)
