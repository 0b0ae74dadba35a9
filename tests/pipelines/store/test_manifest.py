import json
from datetime import UTC, datetime

import pytest

from pipelines.store.manifest import ManifestBuilder
from pipelines.store.root import Root
from pipelines.store.shards import Shard, get_media_marker

SHARDS = [Shard(0, "image", "web", 2), Shard(1, "text", "none", 2)]


@pytest.fixture
def root(tmp_path):
    root = Root.from_url(str(tmp_path))
    for name in ("candidates/00000.parquet", "candidates/00001.parquet"):
        root.write(name, name.encode())
    for name in ("media/00000.tar", "media/00000.parquet"):
        root.write(name, name.encode())
    for number in (0, 1):
        for suffix in ("parquet", "tar"):
            root.write(f"vectors/main/{number:05d}.{suffix}", b"vectors")
    root.write(get_media_marker(SHARDS[0]), json.dumps({"end_time": 1_000_000_000.5}).encode())
    return root


def test_every_file_of_a_shard_is_an_entry(root):
    """With its size and hash; images have media, texts do not."""
    rows = ManifestBuilder(root, "main").build_table(SHARDS).to_pylist()

    assert [5, 3] == [sum(row["shard"] == number for row in rows) for number in (0, 1)]
    for row in rows:
        assert (root.get_size(row["path"]), root.compute_sha256(row["path"])) == (row["bytes"], row["sha256"])
    assert datetime.fromtimestamp(1_000_000_000, UTC) == rows[0]["tried"]


def test_known_files_are_not_read_again(root):
    """The entries of an earlier version are reused, but for shards that were rewritten since."""
    root.write_table("versions/0001.parquet", ManifestBuilder(root, "main").build_table(SHARDS))
    root.write("candidates/00000.parquet", b"changed")
    earlier = ManifestBuilder(root, "main", [1]).build_table(SHARDS)
    rewritten = ManifestBuilder(root, "main", [1], {0}).build_table(SHARDS)

    assert root.read_table("versions/0001.parquet").equals(earlier)
    assert len(b"changed") == rewritten["bytes"][0].as_py() != earlier["bytes"][0].as_py()
