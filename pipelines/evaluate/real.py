"""The real media of the rows that samples were generated from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from pipelines.generate.media import decode_sound, encode_sound
from pipelines.store.root import Root
from pipelines.store.shards import Shard, read_media
from schemas.candidate import Kind, parse_key
from schemas.media import Medium

# Rows read from a tar at a time.
_MEDIA_ROWS = 64
# Medium -> the kind of the rows that have it, and the member of their tars.
_MEMBERS: Mapping[Medium, tuple[Kind, str]] = {"sound": ("clip", "flac"), "picture": ("image", "jpg")}


def iterate_real(
    root: Root, shard_rows: int, medium: Medium, keys: Sequence[str], rate_hz: int | None
) -> Iterator[tuple[str, bytes]]:
    """Yield the keys of rows that have real media of a medium, and their files.

    Args:
        root: of the dataset.
        shard_rows: of it.
        medium: of the samples.
        keys: of the rows.
        rate_hz: that sounds are resampled to first: a set at 48 kHz and one at 16 kHz differ by that alone.
    """
    if medium not in _MEMBERS:
        return
    kind, member = _MEMBERS[medium]
    wanted = set(keys)
    for number in sorted({parse_key(key, shard_rows)[0] for key in wanted}):
        shard = Shard(number, kind, "local", 0)
        kinds = set(root.read_table(f"candidates/{shard.name}.parquet", columns=["kind"])["kind"].to_pylist())
        if kinds != {kind}:
            continue
        for batch in read_media(root, shard, _MEDIA_ROWS):
            for key, data in zip(batch["key"], batch[member], strict=True):
                if key in wanted:
                    yield key, _resample(data, rate_hz) if medium == "sound" and rate_hz else data


def _resample(data: bytes, rate_hz: int) -> bytes:
    import soxr

    wave_T, source_hz = decode_sound(data)
    if source_hz == rate_hz:
        return data
    return encode_sound(np.asarray(soxr.resample(wave_T, source_hz, rate_hz)), rate_hz, "wav")
