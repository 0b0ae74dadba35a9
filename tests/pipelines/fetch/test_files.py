import errno
import io
import tarfile
import threading
import time
from pathlib import Path

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from pipelines.fetch import files
from pipelines.fetch.stages import FetchImages
from schemas.dataset import Fetch
from tests.origins import ORIGINS


@pytest.fixture
def folder(tmp_path: Path, server) -> Path:
    """A folder with pictures, and with a tar as img2dataset writes it."""
    data = server.files["small.jpg"][0]
    (tmp_path / "näme with #, ? and %.jpg").write_bytes(data)
    (tmp_path / "empty.jpg").write_bytes(b"")
    with tarfile.open(tmp_path / "00000.tar", "w") as tar:
        for name, member in (
            ("000000001.jpg", data),
            ("000000001.json", b'{"original_width": 1000, "original_height": 800}'),
            ("000000001.txt", b"a picture"),
            ("000000002.png", server.files["rgb.png"][0]),
        ):
            info = tarfile.TarInfo(name)
            info.size = len(member)
            tar.addfile(info, io.BytesIO(member))
    whole = (tmp_path / "00000.tar").read_bytes()
    (tmp_path / "cut.tar").write_bytes(whole[:700])
    return tmp_path


@pytest.fixture(scope="module")
def work():
    """The opened stage."""
    work = FetchImages(Fetch(max_bytes=500_000), origins=ORIGINS).open()
    yield work
    work.close()


@pytest.mark.parametrize(
    ("url", "file", "member"),
    [
        ("file:///a/b.jpg", "/a/b.jpg", ""),
        ("file://localhost/a/b.jpg", "/a/b.jpg", ""),
        ("FILE:///a%20b/%23.jpg", "/a b/#.jpg", ""),
        ("file:///a/b?c.mp4", "/a/b?c.mp4", ""),
        ("file:///a/00000.tar#000000001.jpg", "/a/00000.tar", "000000001.jpg"),
        ("s3://bucket/a%20b.jpg", "s3://bucket/a%20b.jpg", ""),
        ("s3://bucket/00000.tar#1.jpg", "s3://bucket/00000.tar", "1.jpg"),
    ],
)
def test_urls_name_places(url, file, member):
    """Percent signs of file URLs are undone; what follows `.tar#` is a member."""
    assert files.parse_location(url) == files.MediaLocation(file, member)


@pytest.mark.parametrize(
    "url",
    [
        "file://elsewhere/a.jpg",
        "file:a.jpg",
        "http://a/b",
        "/a/b.jpg",
        "file:///a/../b",
        "file:///a/%2e%2e/b",
    ],
)
def test_what_names_no_place(url):
    """No other machine, no relative path, and no way up out of a template's folder."""
    assert files.parse_location(url) is None


@pytest.mark.parametrize("source", ["folder", "img2dataset"])
def test_local_files_are_read(work, asking, folder, source):
    """A person's own lists may name files; they need no contact."""
    named = (folder / "näme with #, ? and %.jpg").as_uri()
    batch = work(asking(named, named, source=source))

    assert batch["outcome"] == ["ok", "ok"]
    assert batch["width"] == [256 * 100 // 80] * 2


def test_lists_from_the_web_cannot_name_local_files(work, asking, folder):
    """Else a list could copy anything of this machine into the dataset."""
    named = (folder / "näme with #, ? and %.jpg").as_uri()
    batch = work(asking(named, source="cc12m", url="http://example.org/a.jpg"))

    assert (batch["outcome"], batch["reason"]) == (["invalid"], ["bad_url"])


def test_members_of_a_foreign_tar(work, asking, folder, server):
    """A JPEG comes out as it lies there, another format is encoded as JPEG."""
    tar = (folder / "00000.tar").as_uri()
    batch = work(
        asking(
            f"{tar}#000000001.jpg", f"{tar}#000000002.png", source="img2dataset", url="http://example.org/a"
        )
    )

    assert batch["outcome"] == ["ok", "ok"]
    assert batch["jpg"][0] == server.files["small.jpg"][0]
    assert batch["original_width"] == [1000, 400]
    assert batch["jpg"][1].startswith(b"\xff\xd8\xff")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("nothing.jpg", "dead/no_such_file"),
        ("nothing.tar#1.jpg", "dead/no_such_file"),
        ("00000.tar#000000003.jpg", "dead/no_such_file"),
        ("", "dead/no_such_file"),
        ("empty.jpg", "invalid/empty"),
        ("cut.tar#000000002.png", "invalid/truncated"),
        ("00000.tar#000000001.txt", "invalid/undecodable"),
    ],
)
def test_what_is_wrong_with_a_file(work, asking, folder, name, expected):
    """Each has its outcome, as on the web."""
    batch = work(asking(f"{folder.as_uri()}/{name}", source="folder"))

    assert f"{batch['outcome'][0]}/{batch['reason'][0]}" == expected


def test_media_may_lie_on_any_file_system(work, asking, folder, server):
    """A person's folder may be a bucket; here it is one in memory."""
    memory = fsspec.filesystem("memory")
    memory.pipe({f"/bucket/{name}": (folder / name).read_bytes() for name in ("00000.tar", "empty.jpg")})
    batch = work(
        asking(
            "memory://bucket/00000.tar#000000001.jpg",
            "memory://bucket/empty.jpg",
            "memory://bucket/nothing.jpg",
            "nosuch://bucket/a.jpg",
            source="img2dataset",
        )
    )

    assert batch["reason"] == ["", "empty", "no_such_file", "bad_url"]
    assert batch["jpg"][0] == server.files["small.jpg"][0]


class Slow(MemoryFileSystem):
    """A bucket: its answers take a while, and one name has an error of the bucket's own."""

    protocol = "slow"
    lock, reading, most = threading.Lock(), 0, 0

    @classmethod
    def _strip_protocol(cls, path):
        return super()._strip_protocol(path.removeprefix("slow:/"))

    def cat_file(self, path, start=None, end=None, **options):
        with Slow.lock:
            Slow.reading += 1
            Slow.most = max(Slow.most, Slow.reading)
        time.sleep(0.1)
        with Slow.lock:
            Slow.reading -= 1
        if "unlucky" in path:
            raise RuntimeError("the endpoint cannot be reached")
        return super().cat_file(path, start, end, **options)


def test_a_bucket_is_asked_for_many_files_at_once(work, asking, server):
    """However few threads decode; and what goes wrong there may be over tomorrow."""
    fsspec.register_implementation("slow", Slow, clobber=True)
    names = [f"slow://bucket/{number}.png" for number in range(40)] + ["slow://bucket/unlucky.png"]
    Slow().pipe(dict.fromkeys(names, server.files["rgb.png"][0]))
    work(asking("slow://bucket/0.png", source="folder"))
    batch = work(asking(*names, source="folder"))

    assert ["ok"] * 40 + ["transient"] == batch["outcome"]
    assert batch["reason"][-1] == "unreachable"
    # Two threads decode.
    assert Slow.most > 2


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(errno.EIO, "read error"), "transient/unreachable"),
        (TimeoutError(), "transient/timeout"),
        (ConnectionResetError(errno.ECONNRESET, "reset"), "transient/unreachable"),
        (PermissionError(errno.EACCES, "no"), "failed/no_permission"),
        (FileNotFoundError("no such key"), "dead/no_such_file"),
        (OSError(errno.ENAMETOOLONG, "too long"), "dead/no_such_file"),
        (KeyError("of the library"), "transient/unreachable"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_what_cannot_be_read_today_is_not_dead(work, asking, error, expected):
    """Only what is not there is dead; a disk or a bucket that fails is asked again at refresh."""

    class Failing(MemoryFileSystem):
        protocol = "failing"

        def info(self, path, **options):
            raise error

    fsspec.register_implementation("failing", Failing, clobber=True)
    batch = work(asking("failing://bucket/a.png", source="folder"))

    assert f"{batch['outcome'][0]}/{batch['reason'][0]}" == expected


def test_the_byte_limit_holds_for_files(asking, folder):
    """A file past the limit is not read."""
    work = FetchImages(Fetch(max_bytes=100), origins=ORIGINS).open()
    batch = work(asking((folder / "00000.tar").as_uri(), source="folder"))
    work.close()

    assert batch["reason"] == ["too_many_bytes"]
