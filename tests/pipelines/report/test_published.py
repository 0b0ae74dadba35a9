import pytest

from pipelines.errors import StorageError
from pipelines.report.published import PublishedVersion
from pipelines.store.root import Root


def test_the_current_version_is_read_whole(published, root):
    """Its shards in their order, the keys that no reader may see, and the name of its folder alone."""
    assert [0, 1, 2, 3] == [shard.number for shard in published.shards]
    assert ["000013"] == published.removed["key"].to_pylist()
    assert "animals" == published.folder_name
    assert PublishedVersion.read(root, published.shard_rows, "main").version == published.version


def test_without_a_version_there_is_nothing_to_read(tmp_path):
    """The sentence says what to run."""
    with pytest.raises(StorageError, match="run `echolens build`"):
        PublishedVersion.read(Root.from_url(str(tmp_path)), 10)
