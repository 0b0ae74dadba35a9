from dataclasses import replace

import pyarrow as pa

from pipelines.report.norms import read_fills
from pipelines.report.rows import sample_rows
from schemas.version import TOMBSTONE


def fills(published, kind):
    return [fill for fill in read_fills(published)["clip_image"] if fill.shard.kind == kind]


def make_removed(*keys):
    rows = [{"key": key, "outcome": "filtered", "reason": "duplicate_media"} for key in keys]
    return pa.Table.from_pylist(rows, schema=TOMBSTONE)


def test_rows_are_taken_at_even_distances(published):
    """Four of twelve vectors in two shards: the second, fifth, eighth and eleventh."""
    assert sample_rows(published, "clip_image", fills(published, "image"), 4) == [
        "000002", "000006", "000009", "000014",
    ]  # fmt: skip


def test_a_tombstone_is_passed_over(published):
    """A row that no reader may see is no query, and the others keep their even distances."""
    buried = replace(published, removed=make_removed("000002"))

    assert "000002" not in sample_rows(buried, "clip_image", fills(buried, "image"), 4)
    assert len(sample_rows(buried, "clip_image", fills(buried, "image"), 4)) == 4


def test_few_rows_come_once(published):
    """Where there are fewer rows than are asked for, every row comes once."""
    clips = ["000020", "000021", "000022", "000024", "000025", "000026", "000027"]
    buried = replace(published, removed=make_removed(*clips[:-2]))

    assert clips == sample_rows(published, "clip_image", fills(published, "clip"), 100)
    assert set(sample_rows(buried, "clip_image", fills(buried, "clip"), 100)) == set(clips[-2:])
    assert sample_rows(published, "clip_image", [], 4) == []
