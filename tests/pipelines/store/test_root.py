import pickle

import pyarrow as pa
import pytest

from pipelines.errors import StorageError
from pipelines.store.root import Root


@pytest.fixture
def root(tmp_path):
    return Root.from_url(str(tmp_path / "data"))


def test_a_written_file_is_there_whole(root):
    """What was written is read back, below folders that were not there before."""
    root.write("media/00000.tar", b"bytes")

    assert root.read("media/00000.tar") == b"bytes"
    assert root.list_names("media") == ["00000.tar"]
    assert root.list_names("nothing") == []


def test_a_failed_write_leaves_nothing(root, tmp_path):
    """An error while writing leaves neither the file nor a temporary one."""
    with pytest.raises(RuntimeError), root.write_atomically("media/00000.tar") as path:
        path.write_bytes(b"half")
        raise RuntimeError

    assert list((tmp_path / "data" / "media").iterdir()) == []


def test_names_hides_what_is_being_written(root):
    """A reader that lists a folder never sees a temporary file."""
    with root.write_atomically("media/00000.tar") as path:
        path.write_bytes(b"half")

        assert root.list_names("media") == []


def test_same_table_gives_same_bytes(root):
    """Parquet files carry no time."""
    table = pa.table({"key": ["a", "b"], "n": [1, None]})
    root.write_table("one.parquet", table)
    root.write_table("two.parquet", table)

    assert root.compute_sha256("one.parquet") == root.compute_sha256("two.parquet")


def test_root_travels(root):
    """A root that was used can be pickled to a worker."""
    root.write("a", b"1")

    assert pickle.loads(pickle.dumps(root)).read("a") == b"1"


def test_unknown_place_is_one_sentence():
    """A URL of a kind that fsspec does not know is refused with what to give instead."""
    with pytest.raises(StorageError, match=r"'nowhere://x' cannot be opened .*s3://"):
        Root.from_url("nowhere://x").exists("dataset.json")
