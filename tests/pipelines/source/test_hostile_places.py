"""Tars, tables and servers that lists are read from: each ends in one sentence, and leads nowhere."""

import io
import os
import socket
import struct
import tarfile
import zipfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.errors import DamagedArchiveError, ListError
from pipelines.fetch import archives
from pipelines.source import list_files
from pipelines.source.list_files import list_files as list_paths
from pipelines.source.registry import make_lists
from pipelines.store import untrusted_tar
from schemas.dataset import Dataset
from tests.pipelines.fetch.raw_server import RawServer, make_answer

BLOCK = 512


@pytest.fixture
def read(tmp_path):
    """Return all batches of a list of one kind, without a plan."""

    def read_list(kind, place, **keys):
        source = {"kind": kind, "list": str(place)} | keys
        content = {"name": "a", "root": str(tmp_path / "root"), "contact": "me@a.example"}
        dataset = Dataset.model_validate(content | {"sources": [source]})
        (one,) = make_lists(dataset)
        return [*one.open_list(dataset.fetch).read_batches()]

    return read_list


def make_header(name, size, kind=b"0"):
    made = bytearray(BLOCK)
    made[: len(name)], made[100:108] = name, b"0000444\0"
    made[124:136], made[156:157], made[257:265] = b"%011o\0" % size, kind, b"ustar\00000"
    made[148:156] = b"%06o\0 " % (sum(made) + 8 * 32)
    return bytes(made)


def make_attributes(kind, **values):
    """Return a member that says attributes of the next one (x), or of all (g)."""
    records = b"".join(
        b"%d %s\n" % (len(text) + 4, text)
        for text in (f"{name}={value}".encode() for name, value in values.items())
    )
    assert all(len(f"{name}={value}") + 4 in range(10, 100) for name, value in values.items())
    padded = records + bytes(-len(records) % BLOCK)
    return make_header(b"attributes", len(records), kind) + padded


def test_attributes_of_all_members_are_not_copied_into_each(tmp_path):
    """64 kB of them would be 300 kB of memory a member, and 6 GB of a tar of 10 MB."""
    said = make_attributes(b"g", **{f"key{number:04}": "" for number in range(4_000)})
    with (tmp_path / "a.tar").open("wb") as file:
        file.write(said)
        for number in range(2_000):
            file.write(make_header(b"%d.jpg" % number, 0))
        file.write(bytes(2 * BLOCK))
    with (tmp_path / "a.tar").open("rb") as file:
        infos = list(untrusted_tar.iterate_infos(file))

    assert 2_000 == len(infos)
    assert not any(info.pax_headers for info in infos)


def test_a_map_of_a_sparse_file_has_an_end(tmp_path, read):
    """Python's tarfile reads as many numbers as the map says there are, 40 bytes of memory each."""
    sparse = {"GNU.sparse.major": 1, "GNU.sparse.minor": 0, "GNU.sparse.name": "x.jpg"}
    body = b"9999999999\n" + b"0\n" * 2**19
    (tmp_path / "a.tar").write_bytes(
        make_attributes(b"x", **sparse) + make_header(b"x.jpg", len(body)) + body + bytes(2**11)
    )
    with pytest.raises(ListError, match=r"a\.tar is damaged: a member has more headers than any has"):
        read("webdataset", tmp_path / "a.tar")


def test_a_sample_has_a_most_of_members(tmp_path, read):
    """All of one sample are in memory together."""
    with (tmp_path / "a.tar").open("wb") as file:
        for number in range(10_001):
            file.write(make_header(b"a.x%d" % number, 0))
        file.write(bytes(2 * BLOCK))
    with pytest.raises(ListError, match="its sample 'a' has more than 10,000 members"):
        read("webdataset", tmp_path / "a.tar")


def test_the_members_of_a_zip_have_a_most(tmp_path, monkeypatch):
    """Python makes an object of each before anybody can count them."""
    monkeypatch.setattr(archives, "_MAX_DIRECTORY_BYTES", 2**16)
    with zipfile.ZipFile(tmp_path / "few.zip", "w") as packed:
        packed.writestr("bell.txt", "a bell")
    assert {"bell.txt"} == archives.list_members(str(tmp_path / "few.zip"), "1").keys()
    entry = b"PK\x01\x02" + bytes(24) + struct.pack("<HHHHHII", 1, 0, 0, 0, 0, 0, 0) + b"a"
    directory = entry * 2_000
    end = b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 2_000, 2_000, len(directory), 0, 0)
    (tmp_path / "many.zip").write_bytes(directory + end)
    with pytest.raises(DamagedArchiveError, match="its list of members has 94,000 bytes"):
        archives.list_members(str(tmp_path / "many.zip"), "1")


@pytest.mark.parametrize(
    ("kind", "place"),
    [
        ("table", ""),
        ("table", "*.csv"),
        ("webdataset", ""),
        ("webdataset", "*.tar"),
        ("webdataset", "{a,b}.tar"),
    ],
)
@pytest.mark.parametrize("what", ["file", "folder"])
def test_no_link_leads_out_of_the_folder_of_a_list(tmp_path, read, kind, place, what):
    """A folder of somebody else would put private captions into a dataset; links within it are followed."""
    private, foreign = tmp_path / "private", tmp_path / "foreign"
    private.mkdir()
    foreign.mkdir()
    suffix = "csv" if kind == "table" else "tar"
    (private / "own.csv").write_text("url,caption\nhttp://a.example/1,private words\n")
    with tarfile.open(private / "own.tar", "w"):
        pass
    if what == "file":
        (foreign / f"a.{suffix}").symlink_to(private / f"own.{suffix}")
        (foreign / f"b.{suffix}").symlink_to(f"a.{suffix}")
    elif place:
        (foreign / f"a.{suffix}").symlink_to(private / f"own.{suffix}")
        (foreign / f"b.{suffix}").symlink_to(private / f"own.{suffix}")
    else:
        # What is behind a folder's link is not found at all.
        (foreign / "sub").symlink_to(private)
        with pytest.raises(ListError, match="names no"):
            read(kind, foreign)
        return
    with pytest.raises(ListError, match=r"foreign/a\.\w+ is a link that leads out of its list's folder"):
        read(kind, foreign / place if place else foreign)


@pytest.mark.parametrize("kind", ["table", "webdataset"])
def test_a_snapshot_of_the_hub_links_to_its_blobs(tmp_path, read, kind):
    """The cache of huggingface_hub keeps files by their hash, and links to them."""
    repository = tmp_path / "datasets--somebody--photos"
    snapshot = repository / "snapshots" / ("0a" * 20)
    snapshot.mkdir(parents=True)
    (repository / "blobs").mkdir()
    suffix, blob = ("csv", "c0ffee") if kind == "table" else ("tar", "decaf")
    if kind == "table":
        (repository / "blobs" / blob).write_text("url,caption\nhttp://a.example/1,a dog\n")
    else:
        with tarfile.open(repository / "blobs" / blob, "w") as tar:
            for name, data in (("1.jpg", b"picture"), ("1.txt", b"a dog")):
                member = tarfile.TarInfo(name)
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    (snapshot / f"a.{suffix}").symlink_to(f"../../blobs/{blob}")

    assert 1 == sum(map(len, read(kind, snapshot)))

    (tmp_path / "private").mkdir()
    (repository / "blobs" / blob).rename(tmp_path / "private" / blob)
    (snapshot / f"b.{suffix}").symlink_to(tmp_path / "private" / blob)
    (snapshot / f"a.{suffix}").unlink()
    with pytest.raises(ListError, match="leads out"):
        read(kind, snapshot)


def test_links_within_the_folder_of_a_list(tmp_path, read):
    """And the folder may itself be a link, or the list, which the person has named."""
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "a.csv").write_text("url,caption\nhttp://a.example/1,a bell\n")
    (tmp_path / "own" / "b.csv").symlink_to("a.csv")
    (tmp_path / "there").symlink_to("own")
    (tmp_path / "c.csv").symlink_to("own/a.csv")

    assert 2 == sum(map(len, read("table", tmp_path / "there")))
    assert 1 == sum(map(len, read("table", tmp_path / "c.csv")))


@pytest.mark.parametrize(
    ("kind", "name"),
    [("table", "a.csv"), ("table", "a.json"), ("table", "a.parquet"), ("webdataset", "a.tar"), ("cc3m", "a")],
)
@pytest.mark.parametrize("what", ["pipe", "device"])
def test_a_list_is_a_regular_file(tmp_path, read, kind, name, what):
    """A pipe would be waited for, and a device has no end."""
    if what == "pipe":
        os.mkfifo(tmp_path / name)
    else:
        (tmp_path / name).symlink_to("/dev/zero")
    with pytest.raises(ListError, match="is no regular file; give the file itself"):
        read(kind, tmp_path / name)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param("url,caption," + "x" * 200_000, "has a header that cannot be read", id="long-name"),
        pytest.param(
            "url,caption," + ",".join(map(str, range(100_000))), "has 100,002 columns", id="many-names"
        ),
    ],
)
def test_a_header_has_a_most(tmp_path, read, content, said):
    """A hundred thousand names were compared with each other."""
    (tmp_path / "a.csv").write_text(f"{content}\nhttp://a.example/1,a,b\n")
    with pytest.raises(ListError, match=said) as caught:
        read("table", tmp_path / "a.csv")

    assert len(str(caught.value)) < 1000


def test_a_document_has_a_most_of_values(tmp_path, read, monkeypatch):
    """Three bytes of a document are 64 in memory: 2 GB of empty lists are 40."""
    from pipelines.source.table import objects

    monkeypatch.setattr(objects, "_MAX_DOCUMENT_VALUES", 1_000)
    (tmp_path / "a.json").write_text("[" + "[]," * 1_000 + "[]]")
    with pytest.raises(ListError, match="is a document of over 1,000 values"):
        read("table", tmp_path / "a.json")


@pytest.mark.parametrize("kind", [pa.large_string(), pa.binary(), pa.large_binary(), pa.list_(pa.string())])
def test_texts_of_every_type_are_read_as_they_are_stored(tmp_path, read, kind):
    """A binary or a list of texts repeats a megabyte as cheaply as a text does."""
    is_list = pa.types.is_list(kind)
    text = pa.array(["x" * 2**20], kind.value_type if is_list else kind)
    column = pa.DictionaryArray.from_arrays(pa.array([0] * 1_000, pa.int32()), text)
    if is_list:
        column = pa.ListArray.from_arrays(pa.array(range(1_001), pa.int32()), column)
    table = pa.table({"url": ["http://a.example/1"] * 1_000, "caption": column})
    pq.write_table(table, tmp_path / "a.parquet", store_schema=not is_list)
    keys = {"columns": {"caption": "caption"}} | ({"explode": ["caption"]} if is_list else {})
    with pytest.raises(ListError, match="1,000 texts of 'caption' take 1,000 MiB in memory"):
        read("table", tmp_path / "a.parquet", **keys)


def test_a_type_of_an_extension_is_read_as_what_it_is_stored_as(tmp_path, read):
    """Ray's unpickles what a file says; captions of bytes are texts."""
    table = pa.table({"url": ["http://a.example/1"], "caption": pa.array([b"0" * 16], pa.uuid())})
    pq.write_table(table, tmp_path / "a.parquet")
    (batch,) = read("table", tmp_path / "a.parquet")

    assert [pa.int64(), pa.string(), pa.string()] == batch.schema.types[:3]
    assert not any(isinstance(kind, pa.ExtensionType) for kind in batch.schema.types)


def answer_endlessly(head):
    return make_answer(
        "HTTP/1.1 200 OK", "Content-Type: a/b", body=b"" if head.startswith(b"HEAD") else bytes(2**22)
    )


def test_a_server_that_sends_without_end(read, monkeypatch):
    """What is read as a whole has a most."""
    monkeypatch.setattr(list_files, "_MAX_WHOLE_BYTES", 2**20)
    monkeypatch.setattr(list_files, "_PIECE_BYTES", 2**16)
    with RawServer(answer_endlessly) as server, pytest.raises(ListError, match="which are read into memory"):
        read("table", server.url("a.parquet"))


def test_a_server_of_the_web_leads_nowhere_inside(read, monkeypatch):
    """Neither by a redirect nor by a name that moves; a list inside may be named, and no metadata service."""
    with RawServer(
        make_answer("HTTP/1.1 200 OK", "Content-Length: 20", body=b"url,caption\nhttp://a")
    ) as server:
        assert 1 == len(read("table", server.url("a.csv")))
        asked = len(server.heads)
        monkeypatch.setattr(list_files, "_is_inside", lambda _: False)
        with pytest.raises(ListError, match=r"is not there|cannot be read"):
            read("table", server.url("b.csv"))

        assert asked == len(server.heads)
    monkeypatch.undo()
    before = socket.getaddrinfo

    def resolve(host, *rest, **more):
        return before("169.254.169.254" if host == "metadata.example" else host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with pytest.raises(ListError, match=r"is not there|cannot be read"):
        read("table", "http://metadata.example/latest/a.csv")


def test_the_place_of_a_bucket_stays_as_it_is():
    """Only this machine and the web have guards here."""
    fs, found = list_paths("memory://nowhere/a.csv", lambda *_: True)

    assert ("memory", ["/nowhere/a.csv"]) == (fs.protocol, found)
