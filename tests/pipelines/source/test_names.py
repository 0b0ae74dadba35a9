"""Names of local files that are not UTF-8: the files are read, and tables stay text."""

import io
import os
import tarfile

import pytest
from PIL import Image

from pipelines.fetch.stages import FetchImages
from schemas.dataset import Fetch
from tests.origins import ORIGINS

NAMES = {
    "latin-1": "café.jpg".encode("latin-1"),
    "lone-byte": b"\xff bell.jpg",
    "continuation": b"bell \x80\x80.jpg",
    "cut": "鐘".encode()[:2] + b" bell.jpg",
    "shift-jis": "鐘 bell.jpg".encode("shift-jis"),
    "beside-utf-8": "größe ".encode() + b"\xe9.jpg",
    "percent": b"100%25 \xe9.jpg",
}


@pytest.fixture(scope="module")
def picture():
    file = io.BytesIO()
    Image.new("RGB", (80, 64), (90, 120, 150)).save(file, "JPEG")
    return file.getvalue()


def write(folder, name, data):
    """Write a file below a folder, by the bytes of its name."""
    path = folder / os.fsdecode(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


@pytest.fixture(scope="module")
def fetch():
    """Fetch the rows of a plan; return their outcomes."""
    work = FetchImages(Fetch(), origins=ORIGINS).open()

    def fetch(rows):
        batch = {name: [row[name] for row in rows] for name in ("media_url", "url", "source")}
        batch |= {"outcome": ["ok"] * len(rows), "reason": [""] * len(rows)}
        done = work(batch)
        return [*zip(done["outcome"], done["reason"], strict=True)]

    yield fetch
    work.close()


def check_text(rows):
    """Check that every text of rows is UTF-8."""
    for row in rows:
        for value in row.values():
            assert value is None or not isinstance(value, str) or value.encode()


@pytest.mark.parametrize("name", NAMES)
def test_a_file_of_any_name_is_read(plan, fetch, tmp_path, picture, name):
    """In a folder, below a folder, and with a caption beside it."""
    write(tmp_path / "album", NAMES[name], picture)
    write(tmp_path / "album", b"\xe9t\xe9/" + NAMES[name], picture)
    write(tmp_path / "album", b"\xe9t\xe9/" + NAMES[name][:-3] + b"txt", b"A bell.")
    done = plan({"kind": "folder", "list": str(tmp_path / "album")})

    assert 2 == done.counts.rows_read == done.counts.candidates + sum(done.counts.filtered.values())
    assert "A bell." in done.column("caption")
    assert {("ok", "")} == set(fetch(done.candidates))
    check_text(done.candidates)


def test_a_name_in_latin_1_is_a_caption(plan, tmp_path, picture):
    """Its words are what most such names are."""
    write(tmp_path / "album", "café-03.jpg".encode("latin-1"), picture)

    assert ["café"] == plan({"kind": "folder", "list": str(tmp_path / "album")}).column("caption")


@pytest.mark.parametrize("kind", ["folder", "webdataset"])
def test_members_of_any_name(plan, fetch, tmp_path, picture, kind):
    """A tar has the bytes of names, too."""
    with tarfile.open(tmp_path / "00000.tar", "w") as tar:
        for name in (*NAMES.values(), b"d\xe9/1.jpg"):
            for ending, data in ((b"jpg", picture), (b"txt", b"A bell.")):
                info = tarfile.TarInfo(os.fsdecode(name[:-3] + ending))
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    done = plan({"kind": kind, "list": str(tmp_path / "00000.tar")})

    assert len(NAMES) + 1 == len(done.candidates)
    assert {("ok", "")} == set(fetch(done.candidates))
    check_text(done.candidates)


def test_a_list_names_files_by_their_bytes(plan, fetch, tmp_path, picture):
    """A URL of a file escapes them."""
    write(tmp_path, b"caf\xe9.jpg", picture)
    (tmp_path / "list.csv").write_text(f"url,caption\n{tmp_path.as_uri()}/caf%E9.jpg,a bell\n")
    source = {"kind": "table", "of": "image", "list": str(tmp_path / "list.csv"), "files": str(tmp_path)}
    rows = plan(source).candidates

    # As a worker that knows the list's `files` asks for it.
    assert [("ok", "")] == fetch([row | {"source": "folder"} for row in rows])


def test_a_bucket_has_no_such_names(plan, tmp_path, picture):
    """URLs of other file systems escape nothing: such a member is a reject, and the others are rows."""
    import fsspec

    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for name in ("bell.jpg", os.fsdecode(b"caf\xe9.jpg")):
            info = tarfile.TarInfo(name)
            info.size = len(picture)
            tar.addfile(info, io.BytesIO(picture))
    fsspec.filesystem("memory").pipe_file("/names/a.tar", (tmp_path / "a.tar").read_bytes())
    for kind in ("folder", "webdataset"):
        done = plan({"kind": kind, "list": "memory://names/a.tar"})

        assert ({"encoding": 1}, 2) == (done.counts.reject_reasons, done.counts.rows_read)
        check_text(done.rows("rejects"))
