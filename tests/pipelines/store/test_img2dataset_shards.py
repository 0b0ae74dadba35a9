from pathlib import Path

import pyarrow as pa
import pytest

from pipelines.store.img2dataset_shards import drop_foreign, is_foreign, read_pictures
from pipelines.store.root import Root


@pytest.fixture
def root(tmp_path):
    """Shard 0 is ours, shard 1 img2dataset's."""
    root = Root.from_url(str(tmp_path))
    rows = {"key": ["0000", "0001"], "status": ["success", "failed_to_download"]}
    root.write_table("media/00000.parquet", pa.table(rows | {"outcome": ["ok", "dead"]}))
    root.write_table("media/00001.parquet", pa.table(rows))
    return root


def test_a_table_without_outcomes_is_foreign(root):
    """A shard without a table is not."""
    assert [False, True, False] == [is_foreign(root, number) for number in (0, 1, 2)]
    assert frozenset({0, 2}) == drop_foreign(root, [2, 1, 0])


def test_pictures_that_img2dataset_has_are_named(root):
    """By the URL of their member in its tar; what it missed is not among them."""
    tar = Path(root.get_path("media/00001.tar")).as_uri()

    assert {"0000": f"{tar}#0000.jpg"} == read_pictures(root, 1)
