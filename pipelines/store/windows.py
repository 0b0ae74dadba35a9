"""The windows of a shard of clips, beside its vectors: written before the marker that commits the shard.

Shapes: N clips, M windows of them, W windows of one, D dimensions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.errors import SpaceError, StorageError
from pipelines.stage import Batch
from pipelines.store.counts import as_integers
from pipelines.store.root import Root
from pipelines.store.shards import Shard, get_vectors_marker
from schemas.families import Column
from schemas.space import Space
from schemas.windows import START, VECTOR, decode_windows, make_windows_schema

# What an encode stage adds to a batch: of each row the starts in seconds, float32 [W], NaN where they are not
# known, and the unit vectors, float16 [W, D]; None of a row without any.
WINDOWS = "windows"
RowWindows = tuple[np.ndarray, np.ndarray]


def get_windows_file(set_name: str, shard: Shard) -> str:
    """Return the path of the windows of a shard."""
    return f"{get_vectors_marker(set_name, shard).removesuffix('.parquet')}.windows.parquet"


def write_windows(  # noqa: PLR0913, PLR0917
    root: Root, set_name: str, shard: Shard, column: Column, space: Space, batches: Iterable[Batch]
) -> None:
    """Write the windows of a shard, which count once its marker is there.

    Args:
        root: that is written to.
        set_name: of the vectors.
        shard: of clips.
        column: that has the means.
        space: of the vectors.
        batches: `key` and `WINDOWS`.
    """
    keys, starts, vectors = [], [np.empty(0, np.float32)], [np.empty((0, space.dims), np.float16)]
    for batch in batches:
        for key, windows in zip(batch["key"], batch.get(WINDOWS, ()), strict=False):
            if windows is not None:
                keys += [key] * len(windows[0])
                starts.append(windows[0])
                vectors.append(windows[1])
    starts_M = np.concatenate(starts)
    arrays = [
        pa.array(keys, pa.string()),
        pa.array(starts_M, START.type, mask=np.isnan(starts_M)),
        pa.FixedSizeListArray.from_arrays(pa.array(np.concatenate(vectors).reshape(-1)), space.dims),
    ]
    _write(root, get_windows_file(set_name, shard), arrays, column, space)


def copy_windows(
    root: Root, set_name: str, shards: tuple[Shard, Shard], names: dict[str, str], purged: Iterable[int]
) -> None:
    """Write the windows of a shard as those of another, under its keys; nothing if the shard has none.

    Args:
        root: of the dataset.
        set_name: of the vectors.
        shards: the one that is read and the one that is written.
        names: key -> the key in the other shard.
        purged: keys whose windows are left out.
    """
    old, new = shards
    name = get_windows_file(set_name, old)
    if not root.exists(name):
        return
    column, space, table = _read(root, name)
    table = table.filter(pa.array(~np.isin(as_integers(table["key"]), list(purged)), pa.bool_()))
    keys = pa.array([names[key] for key in table["key"].to_pylist()], pa.string())
    arrays = [keys, *(table[each].combine_chunks() for each in (START.name, VECTOR))]
    _write(root, get_windows_file(set_name, new), arrays, column, space)


def read_windows(
    root: Root, set_name: str, shards: Sequence[Shard]
) -> tuple[Space, np.ndarray, np.ndarray, np.ndarray]:
    """Return the space of the windows of some shards, and their keys, starts and vectors.

    Keys, int64 [M], ascend, and the windows of a clip are in the order of time; starts, float32 [M], are in
    seconds from the start of the clip, NaN where they are not known; vectors, float16 [M, D], are unit
    vectors.

    Args:
        root: of the dataset.
        set_name: of the vectors.
        shards: of one version, ascending; those of pictures and texts have no windows.

    Raises:
        SpaceError: two shards have windows of different spaces.
        StorageError: a shard of clips has none, or there is no such shard.
    """
    parts = list(_iterate_tables(root, set_name, shards))
    if not parts:
        raise StorageError(
            f"{root.url} has no clips in set {set_name!r}, so no windows; take a dataset of clips"
        )
    space = parts[0][0]
    for other, _ in parts:
        if other != space:
            raise SpaceError(
                f"windows of set {set_name!r} are in {other} and in {space} "
                f"({other.describe_differences(space)}); encode one of them again"
            )
    keys_M = np.concatenate([as_integers(table["key"]) for _, table in parts])
    starts_M = np.concatenate([table[START.name].to_numpy() for _, table in parts]).astype(np.float32)
    flat = [table[VECTOR].combine_chunks().flatten().to_numpy(zero_copy_only=False) for _, table in parts]
    return space, keys_M, starts_M, np.concatenate(flat).reshape(-1, space.dims)


def _iterate_tables(root: Root, set_name: str, shards: Sequence[Shard]) -> Iterator[tuple[Space, pa.Table]]:
    for shard in shards:
        if shard.kind != "clip":
            continue
        try:
            _, space, table = _read(root, get_windows_file(set_name, shard))
        except FileNotFoundError as error:
            raise StorageError(
                f"set {set_name!r} of {root.url} keeps no windows of sounds; build it again with "
                "encode.windows: true under another `encode.set`"
            ) from error
        yield space, table


def _read(root: Root, name: str) -> tuple[Column, Space, pa.Table]:
    with root.open_parquet(name) as file:
        described = decode_windows(file.schema_arrow)
        if described is None:
            raise StorageError(f"{root.url}/{name} is no table of windows; take another copy of this root")
        return (*described, file.read(columns=["key", START.name, VECTOR]))


def _write(root: Root, name: str, arrays: list[pa.Array], column: Column, space: Space) -> None:
    schema = make_windows_schema(column, space)
    table = pa.Table.from_arrays(
        [array.cast(field.type) for array, field in zip(arrays, schema, strict=True)], schema=schema
    )
    with root.write_atomically(name) as path:
        # Unit vectors do not compress, so a dictionary would only cost time.
        pq.write_table(table, path, compression="zstd", use_dictionary=["key"])
