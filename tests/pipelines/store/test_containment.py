"""A root is data: its names, links and special files lead nowhere, and hold nobody up."""

import os
import pickle
import shutil
import socket
import uuid

import fsspec
import pyarrow as pa
import pytest

from pipelines.errors import ConfigError, StorageError
from pipelines.store.library_files import download, make_database_path, make_file_url
from pipelines.store.root import Root
from schemas.model_card import ModelCard
from schemas.version import FileEntry

# Nothing below may be waited for.
pytestmark = pytest.mark.timeout(20)

NAMES = [
    *(
        "..",
        "../outside",
        "media/../../outside",
        "media/..",
        "/etc/passwd",
        "//etc/passwd",
        "./x",
        "media/./x",
    ),
    *(
        "media//x",
        "media/",
        "/",
        "a\0b",
        "a\nb",
        "a\x1b]0;b",
        "a\x7f",
        "a\x9bb",
        "..\\outside",
        "a\\b",
        "\ud800",
    ),
]

# Every way to a file, by name.
CALLS = {
    "exists": lambda root, name: root.exists(name),
    "get_size": lambda root, name: root.get_size(name),
    "get_path": lambda root, name: root.get_path(name),
    "list_names": lambda root, name: root.list_names(name),
    "list_folders": lambda root, name: root.list_folders(name),
    "list_sizes": lambda root, name: root.list_sizes(name),
    "move": lambda root, name: root.move(name, "moved"),
    "move to": lambda root, name: root.move("whole", name),
    "remove": lambda root, name: root.remove(name),
    "open": lambda root, name: root.open(name).close(),
    "read": lambda root, name: root.read(name),
    "read_range": lambda root, name: root.read_range(name, 0, 1),
    "read_table": lambda root, name: root.read_table(name),
    "write": lambda root, name: root.write(name, b"written"),
    "write_json": lambda root, name: root.write_json(name, {}),
    "write_table": lambda root, name: root.write_table(name, pa.table({"key": ["a"]})),
    "create": lambda root, name: root.create(name, b"written"),
    "replace_if": lambda root, name: root.replace_if(name, b"written", b"outside"),
    "compute_sha256": lambda root, name: root.compute_sha256(name),
    "enter": lambda root, name: root.enter(name),
    "database": make_database_path,
    "url": make_file_url,
    "download": lambda root, name: download(root, name, os.devnull),
}
# What removes and renames deals with a link itself, and needs no file behind it.
OF_LINKS = ("move", "remove")


@pytest.fixture(params=["local", "s3", "memory"])
def anywhere(request, tmp_path):
    """A root with one file, on this disk and on object stores."""
    if request.param == "s3":
        url = f"{request.getfixturevalue('object_store')}/{uuid.uuid4().hex}"
    else:
        url = str(tmp_path / "data") if request.param == "local" else f"memory://{uuid.uuid4().hex}/data"
    root = Root.from_url(url)
    root.write("whole", b"whole")
    return root


@pytest.fixture
def root(tmp_path):
    """A root of this disk, beside a folder that is none of its business."""
    (tmp_path / "outside" / "deep").mkdir(parents=True)
    (tmp_path / "outside" / "secret").write_bytes(b"outside")
    (tmp_path / "outside" / "deep" / "00000.tar").write_bytes(b"outside")
    root = Root.from_url(str(tmp_path / "data"))
    root.write("whole", b"whole")
    root.write("media/00000.tar", b"inside")
    return root


def snapshot(folder):
    """Return every file and link below a folder, with what it holds."""
    return {
        str(path): str(path.readlink()) if path.is_symlink() else path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_symlink() or path.is_file()
    }


@pytest.mark.parametrize("name", NAMES)
def test_no_name_leads_out(anywhere, name):
    """Every call refuses it in one sentence, before anything is asked or written."""
    for what, call in CALLS.items():
        with pytest.raises(StorageError, match="is no file below a root") as error:
            call(anywhere, name)
        assert "\n" not in str(error.value), what
        assert "\x1b" not in str(error.value), what
    assert ["whole"] == anywhere.list_names("")


def test_names_that_only_look_odd(root):
    """Dots, spaces, other alphabets and shell characters are nobody's harm."""
    for name in ("...", "a..b", ".hidden", "médïa/ä b", "a;b&c$d*", "0" * 200, "runs/2026-11-29T05:08Z"):
        root.write(name, b"x")

        assert b"x" == root.read(name)


@pytest.mark.parametrize("what", [what for what in CALLS if what not in OF_LINKS])
@pytest.mark.parametrize("where", ["file", "folder", "dangling"])
def test_no_link_is_followed(root, tmp_path, what, where):
    """Neither as the file itself nor as one of its folders; nothing outside changes."""
    folder = tmp_path / "data"
    link, target = {
        "file": ("secret", "../outside/secret"),
        "folder": ("deep", str(tmp_path / "outside" / "deep")),
        "dangling": ("nowhere", "../outside/not-yet"),
    }[where]
    (folder / link).symlink_to(target)
    name = f"{link}/00000.tar" if where == "folder" else link
    before = snapshot(tmp_path / "outside")

    never = what in ("move to", "create", "replace_if")
    said = "removes, moves or publishes follows none" if never else "no link is followed; .*--allow-links"
    with pytest.raises(StorageError, match=f"is a link to .*{said}"):
        CALLS[what](root, name)
    assert before == snapshot(tmp_path / "outside")
    assert (folder / link).is_symlink()


def test_a_link_is_removed_and_moved_itself(root, tmp_path):
    """What it points to stays where it is."""
    folder, before = tmp_path / "data", snapshot(tmp_path / "outside")
    (folder / "one").symlink_to("../outside/secret")
    (folder / "two").symlink_to("../outside/deep")
    root.remove("one")
    root.move("two", "aside/two")

    assert not (folder / "one").is_symlink()
    assert "../outside/deep" == str((folder / "aside" / "two").readlink())
    for call in (lambda: root.remove("aside/two/00000.tar"), lambda: root.move("aside/two/00000.tar", "x")):
        with pytest.raises(StorageError, match="is a link to"):
            call()
    assert before == snapshot(tmp_path / "outside")


def test_listings_do_not_count_what_is_behind_links(root, tmp_path):
    """A name is listed, so that whoever asks for it is told; its size and its folders are not."""
    (tmp_path / "data" / "media" / "00001.tar").symlink_to("../../outside/secret")
    (tmp_path / "data" / "runs").symlink_to("../outside")

    assert ["00000.tar", "00001.tar"] == root.list_names("media")
    assert {"00000.tar": 6} == root.list_sizes("media")
    assert ["media"] == root.list_folders("")


@pytest.mark.parametrize("kind", ["fifo", "socket", "device"])
@pytest.mark.parametrize("what", [what for what in CALLS if what not in OF_LINKS])
def test_special_files_hold_nobody_up(root, tmp_path, monkeypatch, kind, what):
    """One sentence, at once: opening a FIFO would wait for its writer for ever."""
    path = tmp_path / "data" / "special"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "socket":
        monkeypatch.chdir(path.parent)  # a socket's path has 108 bytes at most
        socket.socket(socket.AF_UNIX).bind(path.name)
    else:
        try:
            os.mknod(path, 0o20644, os.makedev(1, 5))  # /dev/zero
        except PermissionError:
            pytest.skip("only root makes devices")

    named = "FIFO" if kind == "fifo" else kind
    with pytest.raises(StorageError, match=f"is a {named}, and a root has regular files"):
        CALLS[what](root, "special")


def test_a_file_that_becomes_a_fifo_meanwhile(root, tmp_path, monkeypatch):
    """The file that was opened is looked at again, not its name."""
    from pipelines.store import containment

    path = tmp_path / "data" / "whole"
    path.unlink()
    os.mkfifo(path)
    monkeypatch.setattr(containment, "locate", lambda base, name, allowed=(): f"{base}/{name}")
    with pytest.raises(StorageError, match="is a FIFO"):
        root.read("whole")
    path.unlink()
    path.symlink_to("../outside/secret")
    with pytest.raises(StorageError, match="cannot be read"):
        root.read("whole")


def test_a_root_that_is_itself_a_link(root, tmp_path):
    """It is the user's own: the root lies where it leads."""
    (tmp_path / "link").symlink_to("data")
    for url in (str(tmp_path / "link"), f"file://{tmp_path}/link", f"local://{tmp_path}/link"):
        linked = Root.from_url(url)
        linked.write("through", b"x")

        assert b"inside" == linked.read("media/00000.tar")
        assert linked.is_local
        with pytest.raises(StorageError, match="is no file below a root"):
            linked.read("../outside/secret")
    assert b"x" == root.read("through")


def test_links_that_the_user_allows(root, tmp_path):
    """They are read and written through, below their folder only; by other processes, too."""
    folder = tmp_path / "data"
    shutil.move(folder / "media", tmp_path / "outside" / "media")
    (folder / "media").symlink_to("../outside/media")
    (folder / "secret").symlink_to("../outside/secret")
    allowed = Root.from_url(str(folder), [tmp_path / "outside" / "media"])
    for way, name in (
        (allowed, "media/00000.tar"),
        (pickle.loads(pickle.dumps(allowed)), "media/00000.tar"),
        (allowed.enter("media"), "00000.tar"),
    ):
        way.write(name, b"again")

        assert b"again" == way.read(name)
        assert (tmp_path / "outside" / "media" / "00000.tar").read_bytes() == b"again"
    with pytest.raises(StorageError, match="is a link to"):
        allowed.read("secret")
    (tmp_path / "outside" / "media" / "back").symlink_to("../secret")
    with pytest.raises(StorageError, match="is a link to"):
        allowed.read("media/back")


def test_what_removes_and_moves_follows_no_allowed_link(root, tmp_path):
    """Nor does what a version is published with."""
    folder = tmp_path / "data"
    (folder / "deep").symlink_to("../outside/deep")
    allowed, before = Root.from_url(str(folder), [tmp_path / "outside"]), snapshot(tmp_path / "outside")

    assert {"00000.tar": 7} == allowed.list_sizes("deep")
    assert {} == allowed.list_sizes("deep", follow=False)
    assert ["media"] == allowed.list_folders("", follow=False)
    for call in (
        lambda: allowed.remove("deep/00000.tar"),
        lambda: allowed.move("deep/00000.tar", "x"),
        lambda: allowed.move("whole", "deep/x"),
        lambda: allowed.create("deep/x", b""),
        lambda: allowed.replace_if("deep/00000.tar", b"", b"outside"),
    ):
        with pytest.raises(StorageError, match="is a link to"):
            call()
    assert before == snapshot(tmp_path / "outside")


@pytest.mark.parametrize("path", [name for name in NAMES if name != "\ud800"])
def test_names_in_cards_are_checked_where_they_are_parsed(path):
    """Before anything is done with a card or a manifest."""
    with pytest.raises(ValueError, match="path"):
        FileEntry(path=path, bytes=1, sha256="")
    with pytest.raises(ValueError, match="files"):
        ModelCard.model_validate({"name": "x", "files": {path: ""}})
    for sha256 in (path, "g" * 64, "a" * 65):
        with pytest.raises(ValueError, match="sha256"):
            FileEntry(path="x", bytes=1, sha256=sha256)


def test_a_model_holds_what_its_card_says(root, tmp_path):
    """Libraries look into its folder by themselves: another file, or a link, is refused."""
    from pipelines.store.models import find_model_folder, hash_files

    own = tmp_path / "data" / "models" / "it"
    own.mkdir(parents=True)
    (own / "model.safetensors").write_bytes(b"weights")
    card = {
        "name": "it",
        "task": {},
        "recipe": {"steps": 1},
        "steps": 1,
        "seconds": 1,
        "loss": None,
        "parameters": 1,
    }
    card |= {"files": hash_files(own)}
    (own / "card.json").write_text(ModelCard.model_validate(card).model_dump_json(by_alias=True))
    assert own == find_model_folder(root, "it")
    for make in (
        lambda path: path.write_bytes(b""),
        lambda path: path.symlink_to("../../../outside/secret"),
        lambda path: path.symlink_to("../../../outside"),
    ):
        make(own / "other.safetensors")
        with pytest.raises(StorageError, match=r"has other\.safetensors, which its card does not name"):
            find_model_folder(root, "it")
        (own / "other.safetensors").unlink()


def test_memory_is_no_folder_of_this_machine():
    """A library that needs one is told."""
    from pipelines.store.library_files import get_local_path

    fsspec.filesystem("memory").pipe_file("/elsewhere/x", b"")
    with pytest.raises(ConfigError, match="is not on this machine"):
        get_local_path(Root.from_url("memory://elsewhere"))
