"""The frame nearest to the sound."""

import numpy as np
import pyarrow as pa
import pytest

from pipelines.store.root import Root
from pipelines.store.shards import Shard, commit_vectors
from pipelines.store.vectors import VectorReader
from pipelines.train.frames import NO_FRAME, choose_frames, find_nearest_frames
from schemas.candidate import format_key
from schemas.sample import SAMPLE
from schemas.segment import WHOLE, Segment
from tests.pipelines.train.spaces import space

BEST = Segment(mode="best", segment_s=3.0)
# length of the clip by its list, of its sound, start of the segment -> frame with it, frame without.
CLIPS = [
    (10.0, 10.0, 0.0, 0, 1),  # 1.5 s is nearest to 1.25 s
    (10.0, 10.0, 1.25, 1, 1),  # 2.75 s to 3.75 s
    (10.0, 10.0, 1.0, 0, 1),  # 2.5 s is on the border: the earlier
    (10.0, 10.0, 7.0, 3, 1),
    (10.0, 2.0, 0.0, 0, 0),  # a short sound is taken whole; its middle is in the first quarter
    (None, 4.0, 1.0, 2, 1),  # the sound's length is the clip's: frames at 0.5, 1.5, 2.5 and 3.5 s
    (10.0, None, None, 1, 1),
]


@pytest.mark.parametrize("segment", [BEST, WHOLE], ids=["segment", "whole"])
def test_the_frame_is_the_one_nearest_to_what_is_heard(tmp_path, segment):
    """By the columns that a build writes; rows without pictures have no frame."""
    root, rows = Root.from_url(str(tmp_path)), len(CLIPS) + 2
    lengths, sounds, starts, chosen, whole = zip(*CLIPS, *[(10.0, 10.0, 0.0, -1, -1)] * 2, strict=True)
    keys = [format_key(1, row, 100) for row in range(rows)]
    failed = "dead"
    sample = {field.name: [None if field.nullable else ""] * rows for field in SAMPLE}
    sample |= {"key": keys, "source_row": [0] * rows, "outcome": ["ok"] * (rows - 1) + [failed]}
    sample |= {"width": [64] * (rows - 2) + [None, 64], "sound_s": sounds, "length_s": lengths}
    root.write_table("media/00001.parquet", pa.Table.from_pydict(sample, SAMPLE))
    batch = {name: [""] * rows for name in ("id", "source", "reason")}
    batch |= {"kind": ["clip"] * rows, "outcome": ["ok"] * rows, "key": keys, "segment_start_s": starts}
    shards = [Shard(0, "image", "web", 3), Shard(1, "clip", "web", rows)]
    commit_vectors(root, "main", shards[1], {"clap_audio": space("clap", 4)}, [batch], segment)
    reader = VectorReader(root, "main", shards, np.empty(0, np.int64))
    asked = np.array([0, *map(int, keys)])[::-1]

    frames = choose_frames(reader, asked)[::-1]

    assert [NO_FRAME, *(whole if segment is WHOLE else chosen)] == frames.tolist()
    assert (frames.dtype, len(choose_frames(reader, np.empty(0, np.int64)))) == (np.int8, 0)


def test_times_are_those_of_the_cut_frames(tmp_path):
    """A video whose every second has a grey of its own: frame n is what is shown where the rule says."""
    import cv2

    from pipelines.fetch.video.ffmpeg import cut_frames

    file, seconds = tmp_path / "greys.avi", 8
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*"MJPG"), 4, (64, 64))
    for step in range(seconds * 4):
        writer.write(np.full((64, 64, 3), 10 + 7 * step, np.uint8))
    writer.release()
    shown_s = []
    for bitmap in cut_frames(file, 0.0, float(seconds)):
        grey = cv2.imdecode(np.frombuffer(bitmap, np.uint8), cv2.IMREAD_GRAYSCALE).mean()
        shown_s.append((grey - 10) / 7 / 4)

    assert [0, 1, 2, 3] == find_nearest_frames(np.array(shown_s), np.full(4, float(seconds))).tolist()
    assert shown_s == pytest.approx([1, 3, 5, 7], abs=0.3)
