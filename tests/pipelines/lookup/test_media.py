import tarfile

import pytest

from pipelines.errors import NoSuchRowError, StorageError
from pipelines.lookup.media import MediaReader
from pipelines.lookup.rows import VersionRows


@pytest.fixture(scope="session")
def rows(root, version, dataset):
    """The rows of the version."""
    return VersionRows(root, version, dataset.shard_rows)


@pytest.mark.parametrize(
    ("key", "medium", "shard", "member", "content_type"),
    [
        pytest.param("000004", "picture", "00000", "jpg", "image/jpeg", id="picture"),
        pytest.param("000022", "picture", "00002", "0.jpg", "image/jpeg", id="frame"),
        pytest.param("000022", "sound", "00002", "flac", "audio/flac", id="sound"),
        pytest.param("24", "sound", "00002", "flac", "audio/flac", id="short-key"),
    ],
)
def test_media_are_those_of_the_tar(root, rows, key, medium, shard, member, content_type):
    """The bytes that tarfile finds under the same name."""
    with tarfile.open(root.get_path(f"media/{shard}.tar")) as tar:
        expected = tar.extractfile(f"{int(key):06d}.{member}").read()

    assert (expected, content_type) == MediaReader(rows).read(key, medium)


def test_only_the_media_itself_are_read(root, rows, monkeypatch):
    """Once the places are known, a read takes as many bytes as the picture has."""
    media = MediaReader(rows)
    media.read("000000", "picture")
    taken = []
    read_range = type(root).read_range

    def watched(root, name, start, end):
        taken.append(end - start)
        return read_range(root, name, start, end)

    monkeypatch.setattr(type(root), "read_range", watched)
    monkeypatch.setattr(type(root), "open", lambda *_: pytest.fail("opened"))

    assert [len(media.read("000008", "picture")[0])] == taken


@pytest.mark.parametrize(
    ("key", "medium", "said"),
    [
        pytest.param("000004", "sound", "has no sound; it is of the kind image", id="picture"),
        pytest.param("000030", "picture", "has no picture; it is of the kind text", id="text"),
        pytest.param("000013", "picture", "no row has the key '000013'", id="gone"),
        pytest.param("000999", "picture", "no row has the key", id="unknown"),
        pytest.param("../x", "picture", "no row has the key", id="no-key"),
    ],
)
def test_what_is_not_there(rows, key, medium, said):
    """A row without such media, and a row that nobody may see, are both named."""
    with pytest.raises(NoSuchRowError, match=said):
        MediaReader(rows).read(key, medium)


@pytest.mark.parametrize("harm", ["missing", "cut", "garbage"])
def test_a_damaged_tar_is_named(root, rows, harm):
    """No bytes are better than wrong ones."""
    name = "media/00001.tar"
    whole = root.read(name)
    changed = {"missing": None, "cut": whole[:700], "garbage": b"x" * len(whole)}[harm]
    root.fs.rm(root.get_path(name))
    if changed is not None:
        root.write(name, changed)
    try:
        with pytest.raises(StorageError, match=r"media/00001\.tar"):
            MediaReader(rows).read("000010", "picture")
    finally:
        root.write(name, whole)
