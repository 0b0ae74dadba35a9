"""Which of the four frames of a clip is shown nearest to a part of its sound.

Frame n is what the video shows in the middle of quarter n (pipelines/fetch/video/ffmpeg.py): at (n + 0.5) / 4
of the length of the clip, which is the one that its list gives, or that of its sound where the list gives
none. A sound and the frame nearest to it find each other better than with a random one (arXiv 2403.10756).

Shapes: N clips.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.store.counts import as_integers
from pipelines.store.shards import Shard, get_vectors_marker
from pipelines.store.vectors import VectorReader
from schemas.encoders import Segment
from schemas.sample import FRAMES
from schemas.vectors import decode_segment

# A clip without pictures: there is no frame to choose.
NO_FRAME = -1
# The second of four: of an odd or unknown middle the earlier one, as `encode.segment: middle` takes it.
_SECOND = 1


def find_nearest_frames(middles_s_N: np.ndarray, lengths_s_N: np.ndarray) -> np.ndarray:
    """Return the frame that is shown nearest to a time, int8 [N]; of two equally near the earlier one.

    Args:
        middles_s_N: seconds from the start of the clip; NaN gives the second frame.
        lengths_s_N: of the clips, in seconds.
    """
    quarters_N = middles_s_N * len(FRAMES) / lengths_s_N
    # A time on the border of two quarters is equally far from both of their middles.
    frames_N = np.ceil(quarters_N) - 1
    nearest: np.ndarray = np.nan_to_num(frames_N, nan=_SECOND).clip(0, len(FRAMES) - 1).astype(np.int8)
    return nearest


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
    starts_s_n, segment = _read_starts(reader, shard, keys_n)
    ends_s_n = np.fmin(starts_s_n + segment.segment_s, sounds_s_n)
    middles_s_n = np.where(np.isnan(starts_s_n), sounds_s_n / 2, (starts_s_n + ends_s_n) / 2)
    return keys_n, find_nearest_frames(middles_s_n, lengths_s_n)


def _read_starts(reader: VectorReader, shard: Shard, keys_n: np.ndarray) -> tuple[np.ndarray, Segment]:
    """Return where the segment of each clip begins, NaN where none was chosen, and how long segments are."""
    starts_s_n = np.full(len(keys_n), np.nan)
    with reader.root.open_parquet(get_vectors_marker(reader.set_name, shard)) as file:
        segment = decode_segment(file.schema_arrow)
        if segment.mode == "whole":
            return starts_s_n, segment
        table = file.read(columns=["key", "segment_start_s"])
    own_n = as_integers(table["key"])
    order_n = np.argsort(own_n)
    places_n = np.searchsorted(own_n[order_n], keys_n).clip(max=max(len(own_n) - 1, 0))
    is_found_n = own_n[order_n][places_n] == keys_n if len(own_n) else np.zeros(len(keys_n), bool)
    rows_n = order_n[places_n[is_found_n]]
    starts_s_n[is_found_n] = _read_floats(table, "segment_start_s")[rows_n]
    return starts_s_n, segment


def _read_floats(table: pa.Table, name: str) -> np.ndarray:
    values: np.ndarray = table[name].combine_chunks().to_numpy(zero_copy_only=False)
    return values.astype(np.float64)
