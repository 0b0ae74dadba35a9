"""media/NNNNN.parquet: every candidate of a shard, its outcome, and the properties of its media.

img2dataset's columns in img2dataset's order and meaning, then ours. Nothing depends on the time or the
machine, so the same responses give the same bytes.
"""

from __future__ import annotations

import pyarrow as pa

from schemas.candidate import CANDIDATE

SAMPLE = pa.schema(
    [
        *CANDIDATE,
        pa.field("key", pa.string(), nullable=False),
        # img2dataset's three states and its message.
        pa.field("status", pa.string(), nullable=False),
        pa.field("error_message", pa.string()),
        pa.field("width", pa.int32()),
        pa.field("height", pa.int32()),
        pa.field("original_width", pa.int32()),
        pa.field("original_height", pa.int32()),
        # Of the file as it came, as JSON; "Echolens Orientation": "upright" among the tags if it was turned.
        pa.field("exif", pa.string()),
        pa.field("sha256", pa.string()),  # of the stored media: the picture, or the sound of a clip
        # Ours.
        pa.field("outcome", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("language_detected", pa.string()),
        pa.field("language_confidence", pa.float32()),
        pa.field("peak_dbfs", pa.float32()),  # of a clip's sound; null for silence and for pictures
        pa.field("sound_s", pa.float32()),  # length of the sound in a clip; the rest is padded with silence
        pa.field(
            "full_scale_share", pa.float32()
        ),  # share of a clip's samples at full scale, where clipped ones are
        # How much a clip's frames differ, 0 to 255: the largest change in brightness of any of 16 x 16 cells.
        pa.field("frame_change", pa.float32()),
    ],
    metadata={"table": "sample/1"},
)

# Members of a sample in a media tar, after `KEY.`; every sample has all of them, as Hugging Face's WebDataset
# loader requires.
FRAMES = ("0.jpg", "1.jpg", "2.jpg", "3.jpg")
MEMBERS: dict[str, tuple[str, ...]] = {
    "image": ("jpg", "json", "txt"),
    "clip": (*FRAMES, "flac", "json", "txt"),
}

SAMPLE_RATE_HZ = 48_000  # of every stored sound, mono
