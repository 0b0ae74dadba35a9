import pickle
import threading
from pathlib import Path

import pyarrow as pa
import pytest

from pipelines.errors import StorageError
from pipelines.storage import Root


@pytest.fixture
def root(tmp_path):
    return Root.at(str(tmp_path / "data"))


def test_a_written_file_is_there_whole(root):
    """What was written is read back, below folders that were not there before."""
    root.write("media/00000.tar", b"bytes")

    assert root.read("media/00000.tar") == b"bytes"
    assert root.names("media") == ["00000.tar"]
    assert root.names("nothing") == []


def test_a_failed_write_leaves_nothing(root, tmp_path):
    """An error while writing leaves neither the file nor a temporary one."""
    with pytest.raises(RuntimeError), root.writing("media/00000.tar") as path:
        path.write_bytes(b"half")
        raise RuntimeError

    assert list((tmp_path / "data" / "media").iterdir()) == []


def test_names_hides_what_is_being_written(root):
    """A reader that lists a folder never sees a temporary file."""
    with root.writing("media/00000.tar") as path:
        path.write_bytes(b"half")

        assert root.names("media") == []


def test_create_is_exclusive(root):
    """Of many that create one file at once, exactly one does."""
    made = []
    threads = [
        threading.Thread(target=lambda n=n: made.append(root.create("versions/0001.json", b"%d" % n)))
        for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sum(made) == 1
    assert sorted(path.name for path in Path(f"{root.url}/versions").iterdir()) == ["0001.json"]


def test_same_table_gives_same_bytes(root):
    """Parquet files carry no time."""
    table = pa.table({"key": ["a", "b"], "n": [1, None]})
    root.write_table("one.parquet", table)
    root.write_table("two.parquet", table)

    assert root.sha256("one.parquet") == root.sha256("two.parquet")


def test_root_travels(root):
    """A root that was used can be pickled to a worker."""
    root.write("a", b"1")

    assert pickle.loads(pickle.dumps(root)).read("a") == b"1"


def test_unknown_place_is_one_sentence():
    """A URL of a kind that fsspec does not know is refused with what to give instead."""
    with pytest.raises(StorageError, match=r"'nowhere://x' is not a place that can be opened .*s3://"):
        Root.at("nowhere://x").exists("dataset.json")


def test_root_through_a_file_is_one_sentence(tmp_path):
    """A root below a file cannot be made."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"runs through a file"):
        Root.at(str(tmp_path / "file" / "root")).write("dataset.json", b"")
