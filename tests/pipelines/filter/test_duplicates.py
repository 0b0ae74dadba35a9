import uuid

import pyarrow as pa
import pytest

from pipelines.filter.duplicates import find_duplicate_media
from pipelines.store.root import Root
from schemas.candidate import format_key
from schemas.sample import SAMPLE
from schemas.version import TOMBSTONE

SHARD_ROWS = 10


@pytest.fixture(params=["folder", "memory"])
def root(request, tmp_path):
    """A local root, and one on another file system."""
    return Root.from_url(str(tmp_path) if request.param == "folder" else f"memory://{uuid.uuid4().hex}")


def commit(root, shard, *rows, kind="image"):
    """Write the table of a shard from rows of (media_url, sha256, outcome)."""
    records = []
    for row, (media_url, sha256, outcome) in enumerate(rows):
        record = {field.name: None for field in SAMPLE}
        required = ("id", "source", "lane", "licence", "caption", "url", "status", "reason")
        record |= dict.fromkeys(required, "")
        record |= {"source_row": row, "kind": kind, "key": format_key(shard, row, SHARD_ROWS)}
        record |= {"media_url": media_url, "sha256": sha256, "outcome": outcome}
        records.append(record)
    root.write_table(f"media/{shard:05d}.parquet", pa.Table.from_pylist(records, schema=SAMPLE))


def found(root, *shards):
    """Return the keys of duplicates and of what they are the same as."""
    table = find_duplicate_media(root, shards)
    assert table.schema == TOMBSTONE
    return {row["key"]: row["same_as"] for row in table.to_pylist()}


def test_equal_media_of_other_urls_are_duplicates(root):
    """Within a shard and across shards; the lowest key stays."""
    commit(root, 0, ("a", "one", "ok"), ("b", "two", "ok"), ("c", "one", "ok"))
    commit(root, 1, ("d", "two", "ok"), ("e", "three", "ok"), ("f", "one", "ok"))

    assert found(root, 0, 1) == {"000002": "000000", "000010": "000001", "000012": "000000"}


def test_other_captions_of_the_same_url_stay(root):
    """Each is a candidate of its own, fetched once."""
    commit(root, 0, ("a", "one", "ok"), ("a", "one", "ok"), ("copy", "one", "ok"), ("copy", "one", "ok"))

    assert found(root, 0) == {"000002": "000000", "000003": "000000"}


def test_only_what_is_there_counts(root):
    """A row that failed or was filtered is no duplicate, and nothing is a duplicate of it."""
    commit(root, 0, ("a", "one", "filtered"), ("b", "one", "ok"), ("c", None, "dead"), ("d", None, "dead"))

    assert found(root, 0) == {}


def test_kinds_are_apart(root):
    """A sound is never a duplicate of a picture."""
    commit(root, 0, ("a", "one", "ok"))
    commit(root, 1, ("b", "one", "ok"), ("c", "one", "ok"), kind="clip")

    assert found(root, 0, 1) == {"000011": "000010"}


def test_only_the_named_shards_are_read(root):
    """A version sees its own shards and no others."""
    commit(root, 0, ("a", "one", "ok"))
    commit(root, 1, ("b", "one", "ok"))

    assert found(root, 1) == {}
    assert found(root) == {}


def test_lowest_is_a_number(root):
    """Keys past five digits of shards are longer, and higher."""
    commit(root, 99_999, ("a", "one", "ok"))
    commit(root, 100_000, ("b", "one", "ok"))

    assert found(root, 100_000, 99_999) == {"1000000": "999990"}
