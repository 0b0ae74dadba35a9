"""What is said of rows and keys that fit nothing, and what becomes of them."""

import pytest

from pipelines.errors import ConfigError
from pipelines.source.plan import preview
from pipelines.source.row_warnings import list_warnings
from pipelines.source.table.source import TableSource
from schemas.plan import RowCounts


def test_what_is_no_path_is_not_called_a_file(plan, tmp_path):
    """Quotes, hosts without a scheme and the names of columns are no files of this machine."""
    texts = [
        "url",
        "www.a.example/x.jpg",
        "'http://a.example/a.jpg'",
        "<http://a.example/b.jpg>",
        "//a.example/x",
    ]
    paths = ["x.jpg", "a/b.jpg", "./x", "/tmp/x.jpg", "../x.jpg", "file:///tmp/x.jpg"]
    (tmp_path / "a.txt").write_text("\n".join(["http://a.example/1.jpg", "b.example/x.jpg", *texts, *paths]))
    counts, _, _ = plan("a.txt")

    assert {"no_scheme": 1 + len(texts), "local_file": len(paths)} == counts.reject_reasons
    assert "6 rows name files of this machine; say which folder" in counts.warnings[0]
    assert "6 rows have no URL but another text; write whole URLs without quotes" in counts.warnings[1]
    counts = RowCounts(
        rows_read=2, rejects=1, duplicates=0, candidates=1, reject_reasons={"local_file": 1}, filtered={}
    )
    remote = TableSource(kind="table", list="https://a.example/a.csv")
    assert "a list of another machine may name none" in list_warnings(remote, counts, None)[0]


def test_texts_need_no_url(plan, tmp_path):
    """A list of captions alone is one of texts, each known by its words."""
    (tmp_path / "a.csv").write_text("caption\na dog\na dog\na cat\n")
    counts, rows, _ = plan("a.csv", of="text")

    assert [("text", "a dog", None), ("text", "a cat", None)] == [
        (row["kind"], row["caption"], row["media_url"]) for row in rows
    ]
    assert (1, 2) == (counts.duplicates, len({row["id"] for row in rows}))


def test_a_template_without_one_of_its_fields_is_no_caption(plan, tmp_path):
    """What is left of it says nothing of a picture."""
    (tmp_path / "a.csv").write_text("url,label\nhttp://a.example/1.jpg,dog\nhttp://a.example/2.jpg, \n")
    counts, rows, _ = plan("a.csv", columns={"caption": "a photo of {label}"})

    assert ["a photo of dog"] == [row["caption"] for row in rows]
    assert {"no_caption": 1} == counts.filtered


@pytest.mark.parametrize(
    ("name", "content", "keys", "said"),
    [
        (
            "a.jsonl",
            '{"url": "http://a/"}',
            {"header": False, "at": "x"},
            "is of jsonl, where `header`, `at` mean",
        ),
        ("a.csv", "url\nhttp://a/", {"at": "data"}, "is of csv, where `at` mean nothing; leave them out"),
        ("a.csv", "url,width\nhttp://a/,2", {"keep": ["width"]}, "or say `columns: {width: width}`"),
    ],
)
def test_keys_that_mean_nothing_are_refused(describe, tmp_path, name, content, keys, said):
    """One sentence, with the key that is meant where there is one."""
    (tmp_path / name).write_text(content)
    with pytest.raises(ConfigError, match=said):
        preview(describe(name, **keys))


def test_a_join_and_a_list_without_captions_agree(plan, tmp_path):
    """No note says that they are media alone."""
    (tmp_path / "a.csv").write_text("url,key\nhttp://a.example/1.jpg,1\n")
    (tmp_path / "j.csv").write_text("key,caption\n1,a bell\n")
    counts, rows, _ = plan("a.csv", join={"list": str(tmp_path / "j.csv"), "on": "key"})

    assert ["a bell"] == [row["caption"] for row in rows]
    assert not [note for note in counts.notes if "media alone" in note]
