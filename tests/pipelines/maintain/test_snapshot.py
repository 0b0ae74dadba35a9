import duckdb
import pytest

from pipelines.maintain.snapshot import format_parquet, get_keys_per_shard, read_dataset
from pipelines.source.database import DEFAULT_SIZE
from pipelines.source.plan import read_lists
from pipelines.store import plans, versions


@pytest.mark.parametrize(("rows", "keys"), [(10, 10), (11, 100), (1000, 1000), (10_000, 10_000)])
def test_shards_are_so_many_keys_apart(rows, keys):
    """A key is the number of the shard and that of the row, in as many digits as a full shard takes."""
    assert keys == get_keys_per_shard(rows)


def test_no_files_are_no_rows(two_versions):
    """So that a dataset without pictures is read by the same queries."""
    assert [] == duckdb.sql(f"SELECT key, outcome FROM {format_parquet(two_versions.at(), [])}").fetchall()


def test_every_key_is_there_once_and_the_newest_decides(own_versions, tmp_path):
    """After a retry the candidate has two keys, of which only the later one is in `latest`."""
    own_versions.answers["http://127.0.0.1/p.jpg"] = "transient/timeout"
    own_versions.lists({f"http://127.0.0.1/{name}.jpg": f"a picture of {name}" for name in "abp"}, texts=1)
    own_versions.refresh()
    own_versions.answers.clear()
    version, changes = own_versions.refresh()
    root, dataset = own_versions.at(), own_versions.dataset()
    with read_lists(tmp_path, lambda *_: None, dataset, DEFAULT_SIZE) as (rows, _):
        read_dataset(rows, root, dataset, plans.list_shards(root), version)
        tries = rows.execute("SELECT outcome, tries FROM latest WHERE tries > 1").fetchall()
        keyed, different = rows.execute("SELECT count(*), count(DISTINCT key) FROM keyed").fetchall()[0]

    assert 1 == changes.retried
    assert [("ok", 2)] == tries
    assert keyed == different == sum(shard.rows for shard in versions.read_shards(root, version))
