import hashlib
import os
import time
import uuid

import pytest

from pipelines.errors import StorageError
from pipelines.store import cache
from pipelines.store.root import Root


@pytest.fixture
def root(object_store, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return Root.from_url(f"{object_store}/{uuid.uuid4().hex}")


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_a_file_is_fetched_once(root):
    """The second time it is there, though the store has it no more."""
    root.write("a.faiss", b"index")
    first = cache.fetch_cached(root, "a.faiss", sha256(b"index"))
    root.fs.rm(root.get_path("a.faiss"))

    assert b"index" == first.read_bytes()
    assert first == cache.fetch_cached(root, "a.faiss", sha256(b"index"))


def test_other_bytes_are_refused(root):
    """What is not what its card names is neither returned nor kept."""
    root.write("a.faiss", b"other")
    with pytest.raises(StorageError, match="is not the file that its card names"):
        cache.fetch_cached(root, "a.faiss", sha256(b"index"))

    assert [] == list(cache.get_folder().iterdir())


def test_what_is_missing_is_missing(root):
    """As everywhere, so that the caller can say what it means; nothing half-fetched stays."""
    root.write("b.faiss", b"1")
    with pytest.raises(FileNotFoundError):
        cache.fetch_cached(root, "a.faiss", sha256(b"index"))

    assert [] == list(cache.get_folder().iterdir())


def test_what_was_not_used_for_a_month_goes(root):
    """The cache is no second home."""
    root.write("a.faiss", b"index")
    root.write("b.faiss", b"other")
    old = cache.fetch_cached(root, "a.faiss", sha256(b"index"))
    ago = time.time() - 40 * 24 * 3600
    os.utime(old, (ago, ago))
    cache.fetch_cached(root, "b.faiss", sha256(b"other"))

    assert [sha256(b"other")] == [path.name for path in cache.get_folder().iterdir()]
