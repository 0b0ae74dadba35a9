"""The plans of a root add up: later ones add shards, retry keys and drop shards."""

import pyarrow as pa
import pytest

from pipelines.store import plans
from pipelines.store.root import Root
from pipelines.store.shards import Shard
from schemas.candidate import SHARD, format_key
from schemas.version import SUPERSEDED


@pytest.fixture
def root(tmp_path):
    """Three plans: of shards 0 and 1, of shard 2, which retries a row of 0 and of 1, and one that drops 1."""
    root = Root.from_url(str(tmp_path))
    root.write_json("dataset.json", {"dataset": {"shard_rows": 10}})
    folders = ("plan", "plan/0002", "plan/0003")
    for folder, numbers in zip(folders, ((0, 1), (2,), ()), strict=True):
        rows = [{"shard": number, "kind": "image", "lane": "web", "rows": 10} for number in numbers]
        root.write_table(f"{folder}/shards.parquet", pa.Table.from_pylist(rows, schema=SHARD))
        root.write(f"{folder}/counts.json", b"{}")
    retried = [{"key": format_key(n, 3, 10), "by": format_key(2, n, 10)} for n in (0, 1)]
    root.write_table("plan/0002/superseded.parquet", pa.Table.from_pylist(retried, schema=SUPERSEDED))
    dropped = pa.Table.from_pylist([{"shard": 1}], schema=plans.DROPPED)
    root.write_table("plan/0003/dropped.parquet", dropped)
    return root


def test_dropped_shards_are_planned_no_more(root):
    """Nor do their keys count as retried; their numbers are never used again."""
    assert [Shard(0, "image", "web", 10), Shard(2, "image", "web", 10)] == plans.list_shards(root)
    assert [format_key(0, 3, 10)] == plans.read_superseded(root)["key"].to_pylist()
    assert (3, "plan/0004") == (plans.get_next_shard(root), plans.get_next_folder(root))


def test_a_plan_without_its_marker_is_none(root):
    """A job that was killed while it planned has changed nothing."""
    root.write_table("plan/0004/dropped.parquet", pa.Table.from_pylist([{"shard": 0}], schema=plans.DROPPED))

    assert ["plan", "plan/0002", "plan/0003"] == plans.list_folders(root)
    assert frozenset({1}) == plans.read_dropped(root)
    assert [] == plans.list_folders(Root.from_url(f"{root.url}/nothing"))


def test_orphans_are_files_of_shards_of_no_plan(root):
    """Those of planned shards stay, dropped or not; and so does what is no shard's."""
    kept = ("candidates/00000.parquet", "media/00001.tar", "media/notes.txt", "vectors/main/00002.tar")
    orphans = ("candidates/00003.parquet", "media/00003_stats.json", "vectors/other/00007.parquet")
    for name in (*kept, *orphans):
        root.write(name, b"")
    plans.remove_orphans(root)

    assert (*kept,) == tuple(name for name in (*kept, *orphans) if root.exists(name))
