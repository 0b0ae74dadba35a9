"""`metadata.csv` and `metadata.jsonl` beside media, as datasets of the Hub have them."""

import json
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.errors import ListError


@pytest.fixture
def album(written, tmp_path):
    """Pictures at two depths, one of which has a text beside it."""
    for name in ("1.jpg", "b/2.jpg", "b/red bell.jpg", "b/4.wav"):
        written(f"album/{name}", b"")
    written("album/1.txt", "from the text")
    return tmp_path / "album"


CSV = (
    'file_name,text,extra\n1.jpg,"a bell, and\nrain",x\nb/2.jpg,first,x\nb/2.jpg,second,x\ngone.jpg,lost,x\n'
    "../out.jpg,out,x\nshort\n/etc/x.jpg,out,x\n"
)


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_captions_come_from_the_table(plan, album, written, form):
    """Before texts and names; a file may have several, and what is not there is counted with its line."""
    if form == "csv":
        written("album/metadata.csv", CSV)
    else:
        rows = [
            ("1.jpg", "a bell, and\nrain"),
            ("./b/2.jpg", "first"),
            ("b/2.jpg", "second"),
            ("gone.jpg", "lost"),
        ]
        rows += [("../out.jpg", "out")]
        lines = [json.dumps({"file_name": name, "caption": text}) for name, text in rows]
        lines.append(json.dumps({"file_name": "1.jpg", "caption": ["a", "list"]}))
        written(
            "album/metadata.jsonl", "\n".join([*lines, "{broken", json.dumps({"file_name": "/etc/x.jpg"})])
        )
    done = plan({"kind": "folder", "list": str(album)})

    assert ["a bell, and rain", "first", "second", "", ""] == done.column("caption")
    fault = "columns" if form == "csv" else "json"
    nested = {} if form == "csv" else {"nested": 1}
    assert {"no_media": 1, "path_out": 2, fault: 1} | nested == done.counts.reject_reasons
    assert {} == done.counts.filtered
    assert ["text" if form == "csv" else "caption"] == [
        note.split("'")[1] for note in done.counts.sources[0].notes if "the caption is column" in note
    ]
    assert "2 files are in no row of its metadata" in done.counts.sources[0].notes[-1]
    lines = {row["reason"]: row["line"] for row in done.rows("rejects")}
    assert (6, 8) == (lines["no_media"], lines[fault]) if form == "csv" else (4, 7)


def test_a_table_speaks_of_its_own_folder(plan, album, written):
    """And of an archive as of a folder."""
    written("album/b/metadata.csv", "file_name,caption\n2.jpg,two\n4.wav,a sound\n1.jpg,no\n")
    loose = plan({"kind": "folder", "list": str(album)})
    packed = plan({"kind": "folder", "list": shutil.make_archive(str(album), "zip", album)})

    assert ["from the text", "two", "a sound", ""] == loose.column("caption") == packed.column("caption")
    assert {"no_media": 1} == loose.counts.reject_reasons == packed.counts.reject_reasons


def test_a_row_may_leave_out_its_caption(plan, album, written):
    """The first one, too: it has none, and the words of its name are not taken for one."""
    rows = [{"file_name": "1.jpg"}, {"file_name": "b/2.jpg", "text": "a dog on a hill"}]
    written("album/metadata.jsonl", "\n".join(map(json.dumps, rows)))
    done = plan({"kind": "folder", "list": str(album)})

    assert ["a dog on a hill", "", ""] == done.column("caption")
    assert {"no_caption": 1} == done.counts.filtered


def test_a_table_without_captions_says_nothing(plan, album, written):
    """Boxes and labels are not what a picture shows."""
    written("album/metadata.jsonl", json.dumps({"file_name": "1.jpg", "objects": {"bbox": [[1, 2]]}}))
    assert ["from the text", "red bell"] == plan({"kind": "folder", "list": str(album)}).column("caption")


def test_tables_that_cannot_be_read(plan, album, written, tmp_path):
    """One sentence each."""
    written("album/metadata.csv", "name,text\n1.jpg,a\n")
    with pytest.raises(ListError, match=r"metadata\.csv has no column file_name, only name, text; add it"):
        plan({"kind": "folder", "list": str(album)})
    written("album/metadata.csv", "file_name,text\n1.jpg,a\n")
    written("album/metadata.jsonl", "{}")
    with pytest.raises(ListError, match=r"has both metadata\.csv and metadata\.jsonl; take one of them out"):
        plan({"kind": "folder", "list": str(album)})
    (album / "metadata.jsonl").unlink()
    (tmp_path / "secret.csv").write_text("file_name,text\n1.jpg,secret\n")
    (album / "metadata.csv").unlink()
    (album / "metadata.csv").symlink_to(tmp_path / "secret.csv")
    with pytest.raises(ListError, match=r"is not read \(link_out\); put the file itself there"):
        plan({"kind": "folder", "list": str(album)})


def test_a_table_of_a_spreadsheet(plan, album, written):
    """Fields between semicolons, as half of Europe saves them."""
    written("album/metadata.csv", "file_name;caption\n1.jpg;a bell, and rain\n")
    assert "a bell, and rain" in plan({"kind": "folder", "list": str(album)}).column("caption")


def test_a_reject_is_what_becomes_of_its_file(plan, album, written):
    """It is no second candidate that is captioned by its name."""
    rows = [{"file_name": "b/red bell.jpg", "text": ["x", "y"]}, {"file_name": "b/2.jpg", "text": "a dog"}]
    written("album/metadata.jsonl", "\n".join(map(json.dumps, rows)))
    done = plan({"kind": "folder", "list": str(album)})

    assert {"nested": 1} == done.counts.reject_reasons
    assert ["1.jpg", "2.jpg", "4.wav"] == sorted(url.rpartition("/")[2] for url in done.column("url"))


def test_metadata_of_parquet_is_read(plan, album, written):
    """As the Hub's viewer writes it."""
    table = pa.table(
        {"file_name": ["1.jpg", "b/2.jpg", "no.jpg"], "n": [1, 2, 3], "caption": ["a", None, "c"]}
    )
    pq.write_table(table, album / "metadata.parquet")
    done = plan({"kind": "folder", "list": str(album)})

    assert ["a", "", ""] == done.column("caption")
    assert {"no_media": 1} == done.counts.reject_reasons
    assert {"no_caption": 1} == done.counts.filtered
    written("album/metadata.parquet", b"x")
    with pytest.raises(ListError, match=r"table .*album/metadata.parquet is damaged, or no Parquet"):
        plan({"kind": "folder", "list": str(album)})
