"""What a client names as its upload is one: every other form is refused, and the page goes on."""

import io
import json
import os
import stat
import time
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from gradio.utils import get_upload_folder

from pipelines.miniature.media import picture_file
from pipelines.miniature.world import draw
from pipelines.serve.page.app import make_page
from pipelines.serve.page.uploads import UploadFolder
from pipelines.serve.settings import Cap, ServiceLimits
from tests.pipelines.serve.page.browser import listening, together
from tests.pipelines.serve.page.events import post_event, read_result
from tests.pipelines.serve.page.hostile import Rows

FILE_DATA = {"_type": "gradio.FileData"}
MB = 2**20
PICTURE = picture_file(draw(31, "heldout", 4))


@pytest.fixture(scope="module")
def web():
    """A client of a page with a quota of three files of a client, in 8 MB."""
    limits = ServiceLimits(
        body_bytes=4 * MB, upload_files=Cap(6, 3), upload_bytes=Cap(64 * MB, 8 * MB), upload_s=60
    )
    page = make_page(Rows(), "/page", limits)
    with listening(together(page)) as address, httpx.Client(base_url=f"{address}/page", timeout=20) as client:
        yield client


@pytest.fixture
def upload(web):
    """The path of a picture that was uploaded."""
    return send(web, PICTURE)


def send(web, data, name="mine.png"):
    (path,) = web.post("/gradio_api/upload", files={"files": (name, data)}).raise_for_status().json()
    return path


def make_hostile(folder, upload):
    """Return name -> what a client may say of a file that it did not upload."""
    os.mkfifo(folder / "fifo")
    (folder / "leads-out").symlink_to("/etc")
    (folder / "zero").symlink_to("/dev/zero")
    named = {
        "a device": "/dev/zero",
        "a terminal": "/dev/tty",
        "memory": "/proc/self/environ",
        "a file": "/etc/passwd",
        "none": f"{folder}/0/none",
        "nowhere": "/nonexistent",
        "the folder": str(folder),
        "the folder, with a slash": f"{folder}/",
        "a folder": str(Path(upload).parent),
        "out": f"{folder}/../../etc/passwd",
        "out and in": f"{folder}/../{folder.name}/{Path(upload).relative_to(folder)}",
        "a fifo": str(folder / "fifo"),
        "by a link": str(folder / "leads-out" / "passwd"),
        "a link to a device": str(folder / "zero"),
        "a file as a folder": f"{upload}/x",
        "a relative one": "mine.png",
        "home": "~/.bashrc",
        "an address": "http://127.0.0.1:1/a.png",
        "a file's address": f"file://{upload}",
        "a socket's": "\\\\host\\share",
        "with a zero": f"{upload}\0.png",
        "too long": f"{folder}/{'a' * 5000}",
        "no text": 7,
        "a list": [upload],
        "nothing": None,
    }
    return {name: {"path": path} for name, path in named.items()} | {
        "a stream": {"path": upload, "is_stream": True},
        "no path": {"url": f"file://{upload}"},
    }


def test_whatever_else_is_named_is_refused(web, upload):
    """At once, with a sentence, in any place of an event, and the page answers on."""
    folder = Path(get_upload_folder())
    passed, slow = [], []
    for name, described in make_hostile(folder, upload).items():
        whole = {**described, "meta": FILE_DATA}
        bare = described if "path" in described else whole
        for value in (whole, bare, [whole], {"inside": {"deep": [whole]}}):
            for component, event, place in (("picture", "upload", "picture"), ("words", "submit", "words")):
                began = time.monotonic()
                told = post_event(web, component, event, {place: value}, uuid4().hex)
                passed += [name] if told.status_code != 422 or len(told.json()["error"]) < 20 else []
                slow += [name] if time.monotonic() - began > 5 else []
    for special in ("fifo", "zero", "leads-out"):
        (folder / special).unlink()

    assert ([], []) == (passed, slow)
    assert 200 == web.get("/config").status_code


def test_no_other_file_is_sent(web, upload):
    """Of the same forms, by `/file=`; an upload is."""
    folder = Path(get_upload_folder())
    told = {}
    for name, described in make_hostile(folder, upload).items():
        path = described.get("path")
        # The client itself takes ".." away.
        if isinstance(path, str) and ".." not in path and not described.get("is_stream"):
            with web.stream("GET", f"/gradio_api/file={path.replace(chr(0), '%00')}") as answer:
                told[name] = answer.status_code
    for special in ("fifo", "zero", "leads-out"):
        (folder / special).unlink()

    assert {} == {name: status for name, status in told.items() if status not in (403, 404)}
    assert PICTURE == web.get(f"/gradio_api/file={upload}").content


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, b"no json"),
        (400, b"[" * 100_000),
        (413, b'{"data": "' + bytes(300_000) + b'"}'),
        (422, b"[]"),
        (422, b'{"data": {}, "session_hash": "a"}'),
        (422, b'{"data": []}'),
        (422, json.dumps({"data": [], "session_hash": "a" * 65}).encode()),
    ],
    ids=["no-json", "brackets", "large", "list", "data", "no-session", "session"],
)
def test_an_event_that_is_none_is_refused(web, status, body):
    """In one sentence, before Gradio parses it."""
    told = web.post("/gradio_api/queue/join", content=body, headers={"Content-Type": "application/json"})

    assert status == told.status_code
    assert told.json()["error"]


def test_gradio_sees_nothing_else_of_an_event(web, upload):
    """Neither a name of a function nor a request of its own, nor an address beside a path."""
    session = uuid4().hex
    described = {"path": upload, "url": "http://127.0.0.1:1/", "meta": FILE_DATA, "size": -1, "mime_type": 7}
    post_event(web, "picture", "upload", {"picture": described}, session).raise_for_status()

    assert read_result(web, session)["success"]


def test_the_folder_is_private_and_fresh(web):
    """Another user can neither enter it nor have made it before."""
    folder = Path(get_upload_folder())

    assert 0o700 == stat.S_IMODE(folder.stat().st_mode)
    assert os.getuid() == folder.stat().st_uid


def test_uploads_have_a_quota(web):
    """Of files and of bytes; the oldest of the client make room, and the newest stay."""
    paths = [send(web, bytes([number]) * 1000) for number in range(5)]
    large = [send(web, bytes([number]) * 3 * MB, "large.bin") for number in range(5)]

    assert not any(Path(path).exists() for path in paths)
    assert large[3:] == [path for path in large if Path(path).exists()]
    assert 413 == web.post("/gradio_api/upload", files={"files": ("x", bytes(5 * MB))}).status_code


def test_many_files_at_once_have_the_same_quota(web):
    """One request may bring a thousand files."""
    files = [
        ("files", (f"many-{number}.bin", io.BytesIO(bytes([number % 256, number // 256]))))
        for number in range(300)
    ]
    web.post("/gradio_api/upload", files=files)

    assert 3 >= len(list(Path(get_upload_folder()).rglob("many-*")))


def test_a_client_does_not_push_out_another(tmp_path):
    """Where too much is kept in all, it is who keeps most that loses the oldest."""
    folder = UploadFolder(tmp_path, ServiceLimits(upload_files=Cap(5, 4), upload_bytes=Cap(10_000, 9_000)))

    def keep(client, name, size):
        path = tmp_path / name / "file"
        path.parent.mkdir()
        path.write_bytes(bytes(size))
        os.utime(path, ns=(order := len(kept), order))
        os.utime(path, (time.time() - 50 + len(kept),) * 2)
        assert folder.expect(client, size)
        folder.end(client, size, [str(path)])
        kept.append(path)

    kept = []
    keep("honest", "a", 10)
    for number in range(6):
        keep("greedy", f"b{number}", 3_000)

    assert [kept[0], *kept[-3:]] == [path for path in kept if path.exists()]
    assert not folder.expect("greedy", 9_001)
    assert folder.expect("greedy", 9_000)
    assert not folder.expect("honest", 1_001)


def test_what_was_sent_in_part_does_not_stay(tmp_path):
    """A file without a client is removed once no request can still be bringing it."""
    folder = UploadFolder(tmp_path, ServiceLimits(body_s=1))
    (tmp_path / "arriving").write_bytes(b"new")
    (tmp_path / "lost").write_bytes(b"old")
    os.utime(tmp_path / "lost", (time.time() - 10,) * 2)
    folder.prune()

    assert ["arriving"] == [path.name for path in tmp_path.iterdir()]
