"""What a table says of its media, and its other columns, which are stored with a row."""

import hashlib
import json
import tarfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.errors import ConfigError
from pipelines.maintain.verify import _restore_candidates
from pipelines.store.root import Root
from schemas.candidate import CANDIDATE
from schemas.sample import SAMPLE


@pytest.fixture
def pictures(tmp_path, jpeg):
    """Two pictures in a folder, and the keys that take them."""
    (tmp_path / "p").mkdir()
    for number in range(2):
        (tmp_path / f"p/{number}.jpg").write_bytes(jpeg(number))
    return tmp_path / "p", {"files": str(tmp_path / "p")}


def read_records(tmp_path):
    """Return the records in the tars of a root."""
    found = []
    for path in sorted((tmp_path / "root/media").glob("*.tar")):
        with tarfile.open(path) as tar:
            found += [
                json.loads(tar.extractfile(name).read()) for name in tar.getnames() if name.endswith("json")
            ]
    return found


@pytest.mark.parametrize("form", ["parquet", "csv", "jsonl"])
def test_other_columns_are_kept(plan, fetch, tmp_path, pictures, form):
    """As values of their own kind in a sample's record, and as one column of each table."""
    rows = [
        {
            "url": f"{n}.jpg",
            "caption": f"bell {n}",
            "similarity": n / 2,
            "page.no": None,
            "tags": ["a", f"{n}"],
        }
        for n in range(2)
    ]
    match form:
        case "parquet":
            pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
        case "jsonl":
            (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
        case "csv":
            (tmp_path / "a.csv").write_text(
                "url,caption,similarity,page.no\n0.jpg,bell 0,0.0,\n1.jpg,bell 1,0.5,\n"
            )
    keys = {"keep": "all", **pictures[1]}
    _, found, _ = plan(f"a.{form}", **keys)
    fetch(f"a.{form}", **keys)
    records = read_records(tmp_path)

    if form == "csv":
        wanted = [{"similarity": f"{n / 2}", "page.no": ""} for n in range(2)]
    else:
        wanted = [{"similarity": n / 2, "page.no": None, "tags": ["a", f"{n}"]} for n in range(2)]
    assert wanted == [json.loads(row["kept"]) for row in found]
    assert wanted == [
        {name: record[name] for name in kept} for record, kept in zip(records, wanted, strict=True)
    ]
    assert all("kept" not in record for record in records)
    assert [*SAMPLE.names, "kept"] == pq.read_schema(tmp_path / "root/media/00000.parquet").names


def test_nothing_is_kept_unless_it_is_asked_for(plan, tmp_path):
    """And then the tables are as they always were."""
    (tmp_path / "a.csv").write_text("url,caption,x\nhttp://a/1,a,b\n")
    plan("a.csv")
    assert CANDIDATE.names == pq.read_schema(tmp_path / "root/candidates/00000.parquet").names


def test_names_are_kept_in_any_case_and_said_if_they_cannot_be(plan, tmp_path):
    """`all` leaves out what a sample has itself, and says so."""
    (tmp_path / "a.csv").write_text("url,caption,Score,width,TEXT\nhttp://a/1,a,b,c,d\n")
    keys = {"columns": {"caption": "TEXT"}}
    assert {"Score": "b", "TEXT": "d"} == json.loads(
        plan("a.csv", keep=["score", "text"], **keys)[1][0]["kept"]
    )
    for path in sorted((tmp_path / "root").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    counts, rows, _ = plan("a.csv", keep="all", **keys)

    assert {"Score": "b"} == json.loads(rows[0]["kept"])
    assert any(
        "not kept are caption, width: names of a sample's own" in note for note in counts.sources[0].notes
    )


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (
            {"keep": ["width"]},
            "keep names 'width', and a sample has its own 'width'; leave it out, or say",
        ),
        ({"keep": ["scor"]}, "has no column 'scor' for keep; it has score: name one of those"),
        ({"keep": ["image"]}, "keep names 'image', whose cells are bytes; leave it out"),
    ],
)
def test_columns_that_cannot_be_kept(plan, tmp_path, keys, said):
    """One sentence, and nothing is written."""
    table = {"url": ["http://a/1"], "c": ["x"], "width": [1], "score": [1], "image": [b""]}
    pq.write_table(pa.table(table), tmp_path / "a.parquet")
    with pytest.raises(ConfigError, match=said):
        plan("a.parquet", **keys)
    assert not (tmp_path / "root").exists()


def test_a_key_of_ones_own_goes_before_the_id(plan, tmp_path):
    """Both are names of a row; what stands for the media is read by templates and patterns all the same."""
    (tmp_path / "a.csv").write_text("ytid,mine,caption\nabcdefghijk,k1,a\n")
    keys = {"columns": {"id": "ytid", "key": "mine"}, "id_pattern": "(?P<youtube_id>.{11})", "of": "sound"}
    (row,) = plan("a.csv", **keys)[1]
    assert ("k1", "https://www.youtube.com/watch?v=abcdefghijk") == (row["source_key"], row["url"])


def test_small_pictures_are_not_fetched(plan, tmp_path):
    """By the reasons of the filter that measures what was fetched; a size that is not known says nothing."""
    (tmp_path / "a.csv").write_text(
        "url,caption,w,h\nhttp://a/1,a,640,63\nhttp://a/2,a,64,64\nhttp://a/3,a,1000,100\nhttp://a/4,a,,10\n"
        "http://a/5,a,wide,0\nhttp://a/6,a,400.0,100\nhttp://a/7,,1,1\n"
    )
    counts, rows, _ = plan("a.csv", columns={"width": "w", "height": "h"})

    assert {"too_small": 2, "too_stretched": 1, "no_caption": 1} == counts.filtered
    assert ["http://a/2", "http://a/5", "http://a/6"] == [row["url"] for row in rows]


@pytest.mark.parametrize("algorithm", ["md5", "sha256"])
def test_other_bytes_than_those_of_the_list_are_no_media_of_it(plan, fetch, tmp_path, pictures, algorithm):
    """Pictures; a row without a hash takes what there is, and what is no hash is a reject."""
    digest = hashlib.new(algorithm, (pictures[0] / "0.jpg").read_bytes()).hexdigest()
    (tmp_path / "a.csv").write_text(
        f"url,caption,sum\n0.jpg,a,{digest.upper()}\n1.jpg,b,{digest}\n0.jpg,c,{digest[::-1]}\n1.jpg,d,\n"
        "1.jpg,e,-42\n"
    )
    keys = {"columns": {"hash": "sum"}, **pictures[1]}
    counts, _, _ = plan("a.csv", **keys)
    rows = {row["caption"]: (row["outcome"], row["reason"]) for row in fetch("a.csv", **keys)}

    assert {"hash": 1} == counts.reject_reasons
    assert {
        "a": ("ok", ""),
        "b": ("invalid", "changed"),
        "c": ("invalid", "changed"),
        "d": ("ok", ""),
    } == rows


def test_other_sounds_are_no_media_either(plan, fetch, tmp_path, flac):
    """One file may be that of one row and not of another."""
    (tmp_path / "s").mkdir()
    (tmp_path / "s/a.flac").write_bytes(flac(1))
    digest = hashlib.sha256(flac(1)).hexdigest()
    (tmp_path / "a.csv").write_text(f"url,caption,sum\na.flac,a,{digest}\na.flac,b,{'0' * 64}\n")
    keys = {"columns": {"hash": "sum"}, "files": str(tmp_path / "s"), "of": "sound"}
    plan("a.csv", **keys)

    assert [("ok", ""), ("invalid", "changed")] == [
        (row["outcome"], row["reason"]) for row in fetch("a.csv", **keys)
    ]


def test_damaged_candidates_come_back_whole(plan, fetch, tmp_path, pictures):
    """With the columns that only such tables have, byte for byte."""
    digest = hashlib.md5((pictures[0] / "0.jpg").read_bytes()).hexdigest()
    (tmp_path / "a.csv").write_text(f"url,caption,sum,x\n0.jpg,a,{digest},1\n")
    keys = {"columns": {"hash": "sum"}, "keep": "all", **pictures[1]}
    plan("a.csv", **keys)
    fetch("a.csv", **keys)
    path = tmp_path / "root/candidates/00000.parquet"
    before = path.read_bytes()
    path.write_bytes(b"")
    _restore_candidates(Root.from_url(str(tmp_path / "root")), "00000", ())

    assert [*CANDIDATE.names, "expected_hash", "kept"] == pq.read_schema(path).names
    assert before == path.read_bytes()
