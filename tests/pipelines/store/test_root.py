import os
import pickle
import resource
import threading
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipelines.errors import StopJob, StorageError
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

    assert root.compute_sha256("one.parquet") == root.compute_sha256("two.parquet")


def test_root_travels(root):
    """A root that was used can be pickled to a worker."""
    root.write("a", b"1")

    assert pickle.loads(pickle.dumps(root)).read("a") == b"1"


def test_unknown_place_is_one_sentence():
    """A URL of a kind that fsspec does not know is refused with what to give instead."""
    with pytest.raises(StorageError, match=r"'nowhere://x' is not a place that can be opened .*s3://"):
        Root.from_url("nowhere://x").exists("dataset.json")


def test_root_through_a_file_is_one_sentence(tmp_path):
    """A root below a file cannot be made."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"runs through a file"):
        Root.from_url(str(tmp_path / "file" / "root")).write("dataset.json", b"")


def test_replace_if_is_compare_and_swap(root):
    """Only the expected bytes are replaced, and only where there is a file."""
    root.write("lease.json", b"mine")

    assert not root.replace_if("lease.json", b"theirs", expected=b"other")
    assert root.replace_if("lease.json", b"theirs", expected=b"mine")
    assert b"theirs" == root.read("lease.json")
    assert not root.replace_if("nothing.json", b"theirs", expected=b"")


def test_of_many_that_replace_one_wins(root):
    """Whoever loses sees that it lost; nothing but the file is left."""
    root.write("lease.json", b"first")
    won = []
    threads = [
        threading.Thread(target=lambda n=n: won.append(root.replace_if("lease.json", b"%d" % n, b"first")))
        for n in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert 1 == sum(won)
    assert ["lease.json"] == [path.name for path in Path(root.url).iterdir()]


@pytest.fixture
def other_user():
    """Run as somebody who may not write everywhere; root may."""
    if os.geteuid() == 0:
        os.seteuid(65534)
        yield
        os.seteuid(0)
    else:
        yield


def test_a_folder_of_somebody_else_is_one_sentence(tmp_path, request):
    """Permission denied names the root and what to choose; nothing is left."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o555)
    for folder in (tmp_path, *tmp_path.parents[:3]):
        folder.chmod(folder.stat().st_mode | 0o055)
    request.getfixturevalue("other_user")
    root = Root.from_url(str(closed))
    for attempt in (root.check, lambda: root.write("a", b"1"), lambda: root.create("a", b"1")):
        with pytest.raises(StorageError, match=r"root .*closed.*(may not|cannot) be written"):
            attempt()

    assert [] == list(closed.iterdir())


def test_a_file_of_somebody_else_is_one_sentence(tmp_path, request):
    """What may not be read is said as such, never as missing."""
    root = Root.from_url(str(tmp_path))
    root.write("table.parquet", b"1")
    (tmp_path / "table.parquet").chmod(0)
    for folder in (tmp_path, *tmp_path.parents[:3]):
        folder.chmod(folder.stat().st_mode | 0o055)
    request.getfixturevalue("other_user")
    for attempt in (lambda: root.read("table.parquet"), lambda: root.read_table("table.parquet")):
        with pytest.raises(StorageError, match=r"cannot be read .*Permission denied"):
            attempt()


NOISE = np.random.default_rng(0).random(2**18)


@pytest.fixture
def little_disk():
    """Let no file of this process grow over 1 MB: what a full disk does, at a place of our choosing."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def write_index(root):
    import faiss

    index = faiss.IndexFlatIP(64)
    index.add(np.ones((2**13, 64), np.float32))
    with root.write_atomically("media/00000.tar") as path:
        faiss.write_index(index, str(path))


@pytest.mark.parametrize(
    "write",
    [
        lambda root: root.write("media/00000.tar", bytes(2**21)),
        lambda root: root.create("media/00000.tar", bytes(2**21)),
        lambda root: root.write_table("media/00000.tar", pa.table({"n": NOISE})),
        write_index,
    ],
    ids=["write", "create", "table", "index"],
)  # fmt: skip
def test_a_full_disk_stops_the_job(root, little_disk, write):
    """It is said as failed/disk_full, and half a file is never seen, nor left under another name."""
    with pytest.raises(StopJob, match=r"failed/disk_full: the disk of .*make room there"):
        write(root)

    assert [] == list((Path(root.url) / "media").iterdir())
