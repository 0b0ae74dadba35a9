"""`kind: webdataset`: samples of tars, however they were packed."""

import gzip
import io
import json
import tarfile

import pyarrow.parquet as pq
import pytest

from pipelines.compute import child_process
from pipelines.errors import ConfigError, ListError
from pipelines.fetch import archives, files
from pipelines.source.plan import make_plan, preview
from pipelines.store.root import Root
from schemas.dataset import Dataset


def write_tar(path, members):
    """Write (name, bytes or str) members in their order."""
    with tarfile.open(path, "w") as tar:
        for name, content in members:
            data = content.encode() if isinstance(content, str) else content
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


@pytest.fixture
def plan(tmp_path):
    """Plan one list of tars; return the counts and the candidates."""

    def make(place, **keys):
        source = {"kind": "webdataset", "list": str(tmp_path / place)} | keys
        content = {"name": "a", "root": str(tmp_path / "root"), "sources": [source]}
        with child_process.use_this_process():
            counts = make_plan(Dataset.model_validate(content), Root.from_url(content["root"]))
        files = sorted((tmp_path / "root/candidates").glob("*.parquet"))
        rows = [row for file in files for row in pq.read_table(file).to_pylist()]
        return counts, sorted(rows, key=lambda row: row["source_row"])

    return make


def test_a_sample_is_its_members(plan, tmp_path):
    """Media by their ending, captions by text or record, links by record; the rest is accounted for."""
    write_tar(
        tmp_path / "a.tar",
        [
            ("000000.jpg", b"x"),
            ("000000.txt", "a bell"),
            ("000000.json", json.dumps({"url": "http://a.example/1.jpg", "caption": "not this"})),
            ("./sub/000001.PNG", b"x"),
            ("./sub/000001.json", json.dumps({"caption": "a horn"})),
            ("000002.flac", b"x"),
            ("000002.json", json.dumps({"text": "rain"})),
            ("000003.jpg", b"x"),
            ("000004.jpg", b"x"),
            ("000004.txt", " "),
            ("000005.txt", "no picture"),
            ("000006.jpg", b"x"),
            ("000006.json", "{"),
            ("000007.seg.jpg", b"x"),
            ("000007.txt", b"\xff"),
            ("000008.jpg", b"x"),
            ("000008.json", json.dumps({"caption": ["a", "list"]})),
        ],
    )
    counts, rows = plan("a.tar")
    base = (tmp_path / "a.tar").as_uri()

    assert [
        ("image", "http://a.example/1.jpg", f"{base}#000000.jpg", "a bell", "000000"),
        ("image", f"{base}#sub/000001.PNG", f"{base}#sub/000001.PNG", "a horn", "sub/000001"),
        ("clip", f"{base}#000002.flac", f"{base}#000002.flac", "rain", "000002"),
        ("image", f"{base}#000003.jpg", f"{base}#000003.jpg", "", "000003"),
    ] == [(row["kind"], row["url"], row["media_url"], row["caption"], row["source_key"]) for row in rows]
    assert {"no_media": 1, "json": 1, "encoding": 1, "nested": 1} == counts.reject_reasons
    assert {"no_caption": 1} == counts.filtered


@pytest.mark.parametrize("place", ["tars", "tars/*.tar", "tars/{00000..00002}.tar"])
def test_many_tars_are_one_list(plan, tmp_path, place):
    """A folder, a glob or braces, in the order of their names."""
    (tmp_path / "tars").mkdir()
    for number in (2, 0, 1):
        write_tar(
            tmp_path / f"tars/{number:05d}.tar",
            [(f"{number}.jpg", b"x"), (f"{number}.txt", f"bell {number}")],
        )
    (tmp_path / "tars/00000.parquet").write_bytes(b"")

    assert ["bell 0", "bell 1", "bell 2"] == [row["caption"] for row in plan(place)[1]]


@pytest.mark.parametrize(
    ("place", "error", "said"),
    [
        ("none.tar", ListError, "is not there"),
        ("empty/*.tar", ListError, "names no tar"),
        ("{0..9999999}.tar", ConfigError, "names over 1,000,000 tars; give parts"),
        ("{0..9}{0..9}{0..99999}.tar", ConfigError, "names over 1,000,000 tars"),
        ("{0..99999999999}.tar", ConfigError, "names over 1,000,000 tars"),
        ("{a,b}" * 30, ConfigError, "names over 1,000,000 tars"),
        ("{00000..1.tar", ConfigError, "braces that do not pair"),
        ("torn.tar", ListError, "is damaged"),
        ("words.tar", ListError, "is damaged"),
    ],
)
def test_what_is_no_list_of_tars_is_one_sentence(plan, tmp_path, place, error, said):
    """And nothing is written."""
    write_tar(tmp_path / "whole.tar", [("1.jpg", b"x" * 5000), ("1.txt", "bell")])
    (tmp_path / "torn.tar").write_bytes((tmp_path / "whole.tar").read_bytes()[:700])
    (tmp_path / "words.tar").write_bytes(b"no tar at all" * 100)
    with pytest.raises(error, match=said):
        plan(place)
    assert not (tmp_path / "root").exists()


def test_no_member_vanishes(plan, tmp_path):
    """What a point in a name merges, and what occurs twice, is counted; the first has its own caption."""
    write_tar(
        tmp_path / "a.tar",
        [
            ("v1.5_img.jpg", b"x"),
            ("v1.5_img.txt", "five"),
            ("v1.6_img.jpg", b"x"),
            ("v1.6_img.txt", "six"),
            ("2.jpg", b"x"),
            ("2.jpg", b"y"),
            ("2.txt", "a bell"),
            ("2.txt", "a horn"),
            ("3.jpg", b"x"),
            ("3.mask.png", b"x"),
            ("3.txt", "with a mask"),
            ("2.jpg", b"z"),
            ("2.txt", "again"),
        ],
    )
    counts, rows = plan("a.tar")

    assert ["five", "a bell", "with a mask"] == [row["caption"] for row in rows]
    assert {"duplicate_member": 4} == counts.reject_reasons
    assert "up to the first point; rename the members" in counts.sources[0].warnings[0]
    file = str(tmp_path / "a.tar")
    assert b"x" == archives.read(file, "", "2.jpg", 9)


def test_packed_tars_are_read(plan, tmp_path):
    """As they are handed around, too."""
    write_tar(tmp_path / "00000.tar", [("1.jpg", b"x"), ("1.txt", "a bell"), ("2.jpg", b"y")])
    (tmp_path / "t").mkdir()
    packed = gzip.compress((tmp_path / "00000.tar").read_bytes())
    (tmp_path / "t/00000.tar.gz").write_bytes(packed)
    _, rows = plan("t")

    assert [("a bell", f"{(tmp_path / 't/00000.tar.gz').as_uri()}#1.jpg")] == [
        (row["caption"], row["media_url"]) for row in rows if row["caption"]
    ]
    assert b"y" == files.read(files.parse_location(rows[1]["media_url"]), 9)
    (tmp_path / "t/00000.tar.gz").write_bytes(packed[:40])
    with pytest.raises(ListError, match="is damaged"):
        preview(Dataset(name="a", root="r", sources=[{"kind": "webdataset", "list": str(tmp_path / "t")}]))
