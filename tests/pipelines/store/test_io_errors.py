"""What a file system or an object store raises reaches a person as one sentence."""

import os
import resource
import socket
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from s3fs import S3FileSystem

from pipelines.errors import StopJob, StorageError
from pipelines.store.root import Root


@pytest.fixture
def root(tmp_path):
    return Root.from_url(str(tmp_path / "data"))


def test_root_through_a_file_is_one_sentence(tmp_path):
    """A root below a file cannot be made."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"runs through a file"):
        Root.from_url(str(tmp_path / "file" / "root")).write("dataset.json", b"")


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


def test_no_such_bucket_is_one_sentence(object_store):
    """Said at once, whatever is asked for."""
    root = Root.from_url("s3://there-is-no-such-bucket/data")
    for attempt in (root.check, lambda: root.list_names("media"), lambda: root.write("a", b"1")):
        with pytest.raises(StorageError, match=r"there is no such bucket; create it, or mend `root`"):
            attempt()


def test_no_credentials_is_one_sentence(object_store, monkeypatch, tmp_path):
    """Which variables to set is said."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    S3FileSystem.clear_instance_cache()
    with pytest.raises(StorageError, match=r"needs? credentials.*|set AWS_ACCESS_KEY_ID"):
        Root.from_url(f"{object_store}/data").check()
    S3FileSystem.clear_instance_cache()


def test_a_dead_endpoint_is_said_soon(object_store, monkeypatch):
    """Where nothing listens, a job ends with one sentence in less than a minute."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    S3FileSystem.clear_instance_cache()
    begun = time.monotonic()
    with pytest.raises(StorageError, match=r"cannot be read .*; see that it answers"):
        Root.from_url(f"{object_store}/data").check()
    S3FileSystem.clear_instance_cache()

    assert 60 > time.monotonic() - begun
