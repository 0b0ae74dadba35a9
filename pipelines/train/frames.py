"""Which of the four frames of a clip is shown nearest to a part of its sound.

A sound and the frame nearest to it find each other better than with a random one (arXiv 2403.10756).

Shapes: N clips.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.encode.frame_times import find_nearest_frames
from pipelines.store.counts import as_integers
from pipelines.store.shards import Shard, get_vectors_marker
from pipelines.store.vectors import VectorReader
from schemas.vectors import decode_segment

# A clip without pictures: there is no frame to choose.
NO_FRAME = -1


def choose_frames(reader: VectorReader, keys_N: np.ndarray) -> np.ndarray:
    """Return the frame of each clip that is nearest to the middle of what its sound's vector stands for.

    That is the segment that `encode.segment` chose, or all of the sound without the silence that pads it: its
    middle is then the second frame where the sound fills the clip or its length is not known, and an earlier
    one where it is short.

    Args:
        reader: of a version.
        keys_N: int64, in any order.

    Returns:
        int8 [N]; `NO_FRAME` of rows that are no clips, are not in the version, or came without pictures.
    """
    order_N = np.argsort(keys_N, kind="stable")
    sorted_N = keys_N[order_N]
    frames_N = np.full(len(keys_N), NO_FRAME, np.int8)
    for shard in reader.shards:
        if shard.kind != "clip" or not len(sorted_N):
            continue
        keys_n, found_n = _read_shard(reader, shard)
        places_n = np.searchsorted(sorted_N, keys_n).clip(max=len(sorted_N) - 1)
        is_wanted_n = sorted_N[places_n] == keys_n
        frames_N[order_N[places_n[is_wanted_n]]] = found_n[is_wanted_n]
    return frames_N


def _read_shard(reader: VectorReader, shard: Shard) -> tuple[np.ndarray, np.ndarray]:
    """Return the keys of the clips of a shard that have pictures, and the frame of each."""
    table = reader.root.read_table(
        f"media/{shard.name}.parquet", columns=["key", "outcome", "width", "sound_s", "length_s"]
    )
    has_pictures = pc.and_(pc.equal(table["outcome"], "ok"), table["width"].is_valid())
    table = table.filter(has_pictures)
    keys_n = as_integers(table["key"])
    sounds_s_n, lengths_s_n = (_read_floats(table, name) for name in ("sound_s", "length_s"))
    lengths_s_n = np.where(np.isnan(lengths_s_n), sounds_s_n, lengths_s_n)
    starts_s_n, segments_s_n = read_segments(reader, shard, keys_n)
    ends_s_n = np.fmin(starts_s_n + segments_s_n, sounds_s_n)
    middles_s_n = np.where(np.isnan(starts_s_n), sounds_s_n / 2, (starts_s_n + ends_s_n) / 2)
    return keys_n, find_nearest_frames(middles_s_n, lengths_s_n)


def read_segments(reader: VectorReader, shard: Shard, keys_n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return where the segment of each clip begins, and its length, in seconds; NaN where none was chosen.

    Args:
        reader: of a version.
        shard: of it.
        keys_n: of its clips, int64.
    """
    starts_s_n, segments_s_n = np.full(len(keys_n), np.nan), np.full(len(keys_n), np.nan)
    with reader.root.open_parquet(get_vectors_marker(reader.set_name, shard)) as file:
        segment = decode_segment(file.schema_arrow)
        if segment.mode == "whole":
            return starts_s_n, segments_s_n
        # Those that prompts selected may be longer.
        lengths = ["segment_length_s"] if segment.is_prompted else []
        table = file.read(columns=["key", "segment_start_s", *lengths])
    own_n = as_integers(table["key"])
    order_n = np.argsort(own_n)
    places_n = np.searchsorted(own_n[order_n], keys_n).clip(max=max(len(own_n) - 1, 0))
    is_found_n = own_n[order_n][places_n] == keys_n if len(own_n) else np.zeros(len(keys_n), bool)
    rows_n = order_n[places_n[is_found_n]]
    starts_s_n[is_found_n] = _read_floats(table, "segment_start_s")[rows_n]
    segments_s_n[is_found_n] = _read_floats(table, lengths[0])[rows_n] if lengths else segment.segment_s
    return starts_s_n, segments_s_n


def _read_floats(table: pa.Table, name: str) -> np.ndarray:
    values: np.ndarray = table[name].combine_chunks().to_numpy(zero_copy_only=False)
    return values.astype(np.float64)
