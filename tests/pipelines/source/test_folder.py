import shutil
from pathlib import Path

import pytest

from pipelines.errors import ListError
from pipelines.fetch import files
from pipelines.source.folder import split_words


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        pytest.param("/a/dog_barking-03.wav", "dog barking", id="underscores-and-numbers"),
        pytest.param("/a/Big Ben (2007).jpg", "Big Ben", id="brackets"),
        pytest.param("/a/größe.v2.jpeg", "größe v", id="dots-and-umlauts"),
        pytest.param("/a/dog's bell.png", "dog's bell", id="apostrophe"),
        pytest.param("/a/鐘.jpg", "鐘", id="chinese"),
        pytest.param("/a/000123.jpg", "", id="no-words"),
    ],
)
def test_words(path, expected):
    """A file's name says what is in it, numbers do not."""
    assert expected == split_words(path)


@pytest.fixture
def album(written, tmp_path):
    """Pictures and sounds at two depths, with and without captions."""
    for name in ("dog_barking.wav", "b/red bell.JPG", "b/007.png", "z#1.mp4", "notes.txt", "b/readme.md"):
        written(f"album/{name}", b"")
    written("album/.thumbnails/x.jpg", b"")
    written("album/z#1.txt", "\ufeffA train\nwhistles. ")
    return tmp_path / "album"


def test_folder(plan, album):
    """Every picture and clip is a row, in the order of the paths, its caption beside it or in its name."""
    done = plan({"kind": "folder", "list": str(album)})

    assert [("image", "red bell"), ("clip", "dog barking"), ("clip", "A train whistles.")] == [
        (row["kind"], row["caption"]) for row in done.candidates
    ]
    assert ["/b/red%20bell.JPG", "/dog_barking.wav", "/z%231.mp4"] == [
        url.removeprefix(album.as_uri()) for url in done.column("media_url")
    ]
    assert done.column("url") == done.column("media_url")
    assert {"local"} == set(done.column("lane"))
    assert (4, {"no_caption": 1}) == (done.counts.rows_read, done.counts.filtered)


@pytest.mark.parametrize("kind", ["zip", "gztar"])
def test_an_archive_is_a_folder(plan, album, kind):
    """The same rows come out of it, and their URLs name its members."""
    (album / "007.txt").write_text("")
    loose = plan({"kind": "folder", "list": str(album)})
    archive = shutil.make_archive(str(album.parent / "packed album"), kind, album)
    done = plan({"kind": "folder", "list": archive})
    places = [files.parse_location(url) for url in done.column("media_url")]

    assert loose.column("caption") == done.column("caption")
    assert [
        files.MediaLocation(archive, name) for name in ("b/red bell.JPG", "dog_barking.wav", "z#1.mp4")
    ] == places
    assert {"local"} == set(done.column("lane"))


def test_an_archive_that_is_cut_off(plan, album):
    """Said before anything is planned."""
    archive = Path(shutil.make_archive(str(album.parent / "packed"), "gztar", album))
    archive.write_bytes(archive.read_bytes()[:-20])

    with pytest.raises(ListError, match="damaged or cut off; download it again"):
        plan({"kind": "folder", "list": str(archive)})


def test_a_caption_that_is_not_utf8_is_a_reject(plan, album):
    """The text file beside the media is to blame, so the row cannot be read."""
    (album / "dog_barking.txt").write_bytes(b"d\xf6g")
    done = plan({"kind": "folder", "list": str(album)})

    assert {"encoding": 1} == done.counts.reject_reasons
    assert 3 == done.counts.candidates


def test_an_empty_caption_is_no_caption(plan, album):
    """An empty text file says that there is nothing to say; the file's name is not asked then."""
    (album / "dog_barking.txt").write_bytes(b"\n")

    assert {"no_caption": 2} == plan({"kind": "folder", "list": str(album)}).counts.filtered


@pytest.mark.parametrize(
    ("made", "message"),
    [
        pytest.param(None, "is not there; give a folder", id="missing"),
        pytest.param("album", "is not there; give a folder", id="a-file"),
        pytest.param("album/notes.txt", "has no pictures or sounds; .* flac", id="no-media"),
    ],
)
def test_no_folder_of_media(plan, written, tmp_path, made, message):
    """What is no folder, or has no media, is an error."""
    if made:
        written(made, b"")
    with pytest.raises(ListError, match=message):
        plan({"kind": "folder", "list": str(tmp_path / "album")})


def test_a_caption_that_cannot_be_read(plan, album):
    """It is there by name, and leads nowhere: one sentence names it."""
    (album / "b" / "007.txt").symlink_to(album / "nowhere.txt")

    with pytest.raises(ListError, match=r"caption .*/b/007\.txt cannot be read .*check the access"):
        plan({"kind": "folder", "list": str(album)})
