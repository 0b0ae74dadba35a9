"""media/NNNNN.parquet: every candidate of a shard, what became of it, and what its media are like.

img2dataset's columns in img2dataset's order and meaning, then ours. Nothing in it depends on the time
or on the machine, so the same answers give the same bytes.
"""

from __future__ import annotations

import pyarrow as pa

from schemas.candidate import CANDIDATE

SAMPLE = pa.schema(
    [
        *CANDIDATE,
        pa.field("key", pa.string(), nullable=False),
        # img2dataset's own three states and its word for the cause.
        pa.field("status", pa.string(), nullable=False),
        pa.field("error_message", pa.string()),
        pa.field("width", pa.int32()),
        pa.field("height", pa.int32()),
        pa.field("original_width", pa.int32()),
        pa.field("original_height", pa.int32()),
        pa.field("exif", pa.string()),
        pa.field("sha256", pa.string()),  # of the stored media: the picture, or the sound of a clip
        # Ours.
        pa.field("outcome", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("language_detected", pa.string()),
        pa.field("language_confidence", pa.float32()),
        pa.field("peak_dbfs", pa.float32()),  # of a clip's sound; null for silence and for pictures
        pa.field("sound_s", pa.float32()),  # how much of a clip is sound; silence fills up the rest
        pa.field("full_scale_share", pa.float32()),  # of a clip's samples: what was clipped lies there
        # How far a clip's frames differ, 0 to 255: the most that the brightness of one of 16 x 16 cells does.
        pa.field("frame_change", pa.float32()),
    ],
    metadata={"table": "sample/1"},
)

# Members of one sample in a media tar, after `KEY.`; every sample of a tar has all of them, because
# Hugging Face's WebDataset loader demands it.
FRAMES = ("0.jpg", "1.jpg", "2.jpg", "3.jpg")
MEMBERS: dict[str, tuple[str, ...]] = {
    "image": ("jpg", "json", "txt"),
    "clip": (*FRAMES, "flac", "json", "txt"),
}

SAMPLE_RATE_HZ = 48_000  # of every stored sound, mono
