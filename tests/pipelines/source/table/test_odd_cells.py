"""Cells of real lists that are not as they should be: none is altered without a word, none is a traceback."""

import csv
import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.errors import ConfigError, ListError
from pipelines.source.plan import preview

URL = "http://a.example/{}.jpg"


def write_csv(path, header, *rows):
    path.write_text("\n".join([header, *(f"{URL.format(n)},{row}" for n, row in enumerate(rows))]) + "\n")


def write_parquet(path, captions, **others):
    urls = [URL.format(n) for n in range(len(captions))]
    pq.write_table(pa.table({"url": urls, "caption": captions, **others}), path)


def list_captions(found):
    """Return the captions of the rows, and the line and reason of each reject."""
    _, rows, rejects = found
    return [row["caption"] for row in rows], [(row["line"], row["reason"]) for row in rejects]


@pytest.mark.parametrize("ending", ["json", "jsonl"])
def test_half_a_surrogate_is_a_reject(plan, tmp_path, ending):
    """Of a document as of lines; the rows around it are read."""
    captions = ["a \ud83d x", "ok \U0001f600"]
    rows = [{"url": URL.format(n), "caption": caption} for n, caption in enumerate(captions)]
    rows[0]["\ud83d"] = 1
    text = json.dumps(rows) if ending == "json" else "\n".join(map(json.dumps, rows))
    (tmp_path / f"a.{ending}").write_text(text)
    assert (["ok \U0001f600"], [(1, "json")]) == list_captions(plan(f"a.{ending}", keep="all"))


def test_columns_that_differ_in_case_alone(plan, tmp_path):
    """Are told apart by their exact names, in templates and in `where`."""
    write_csv(tmp_path / "a.csv", "url,Title,title", "UP,low", "dog,cat", "cat,dog")
    template = {"columns": {"caption": "{title}."}}
    assert ["low.", "cat.", "dog."] == list_captions(plan("a.csv", **template))[0]


def test_where_of_columns_that_differ_in_case_alone(plan, tmp_path):
    """Another case than that of both is refused."""
    write_csv(tmp_path / "a.csv", "url,Title,title", "dog,cat", "cat,dog")
    keys = {"columns": {"caption": "title"}}
    with pytest.raises(ConfigError, match="`where` names 'TITLE', and the list has Title and title"):
        plan("a.csv", where="TITLE = 'dog'", **keys)
    assert ["cat"] == list_captions(plan("a.csv", where="Title = 'dog'", **keys))[0]


LARGE = 1234567890123456789


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize(
    ("where", "rows"),
    [
        ("width > height", [0, 2]),
        ("width <= height", [1]),
        ("height BETWEEN least(width, height) AND width", [0, 2]),
        ("coalesce(width, 0) > height", [0, 2]),
        (f"uid = {LARGE}", [0]),
        (f"uid > {LARGE - 1} AND uid < {LARGE + 1}", [0]),
        (f"uid IN ({LARGE}, 5)", [0]),
        (f"uid BETWEEN {LARGE} AND {LARGE}", [0]),
        (f"uid = -{LARGE}", [2]),
        ("uid < other", [1]),
        ("round(width / 3, 1) = 333.3", [0]),
        ("caption = name", [1]),
        ("none IS NULL", [0, 2]),
        ("coalesce(none, 'no') = 'no'", [0, 2]),
        ("none IS NOT NULL", [1]),
    ],
)
def test_filters_mean_the_same_in_every_format(plan, tmp_path, ending, where, rows):
    """Numbers compare as numbers with each other, with all of their digits; none is none."""
    columns = {
        "url": [URL.format(n) for n in range(3)],
        "caption": ["a", "b", "c"],
        "name": ["b", "b", "d"],
        "width": [1000, 80, 640],
        "height": [999, 640, 480],
        "uid": [LARGE, LARGE + 1, -LARGE],
        "other": [LARGE, LARGE + 2, -LARGE],
        "none": [None, "x", None],
    }
    table = pa.table(columns)
    if ending == "parquet":
        pq.write_table(table, tmp_path / "a.parquet")
    elif ending == "csv":
        lines = [
            ",".join("" if cell is None else str(cell) for cell in row)
            for row in zip(*columns.values(), strict=True)
        ]
        (tmp_path / "a.csv").write_text("\n".join([",".join(columns), *lines]))
    else:
        (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, table.to_pylist())))
    found = plan(f"a.{ending}", where=where, columns={"url": "url", "caption": "caption"})[1]
    assert rows == [row["source_row"] for row in found]


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("regexp_matches(caption, '(')", "`where` has '\\(', which is no RE2"),
        ("regexp_matches(caption, pattern)", "cannot be filtered by `where`"),
    ],
)
def test_a_filter_that_fails_is_one_sentence(plan, tmp_path, where, said):
    """Whether it does at once, or at a row."""
    write_csv(tmp_path / "a.csv", "url,caption,pattern", "a,(")
    with pytest.raises(ConfigError, match=said) as caught:
        plan("a.csv", where=where)
    assert "\n" not in str(caught.value)


def write_late(path, **late):
    rows = [{"url": URL.format(n)} for n in range(1_200)]
    rows[1_100] |= late
    path.write_text("\n".join(map(json.dumps, rows)))


@pytest.mark.parametrize(
    "keys",
    [{}, {"columns": {"caption": "Alt"}}, {"columns": {"caption": "{alt}"}}, {"keep": ["score"]}],
    ids=["guessed", "named", "template", "kept"],
)
def test_columns_that_come_late_are_read(plan, tmp_path, keys):
    """Behind the rows in which the columns are looked for, too."""
    write_late(tmp_path / "a.jsonl", alt="a bell", score=5)
    _, rows, _ = plan("a.jsonl", where="score = 5", **keys)
    assert [(1_100, "a bell")] == [(row["source_row"], row["caption"]) for row in rows]
    if "keep" in keys:
        assert '{"score":5}' == rows[0]["kept"]


def test_all_columns_are_kept_wherever_they_begin(plan, tmp_path):
    """A caption in the head is no reason to lose others."""
    write_late(tmp_path / "a.jsonl", caption="a", **{"a.b": 1})
    rows = plan("a.jsonl", keep="all", of="text")[1]
    assert ['{"a.b":1}'] == [row["kept"] for row in rows if row["caption"]]


@pytest.mark.parametrize(
    "compress", [gzip.compress, lambda data: bytes(pa.compress(data, "zstd", asbytes=True))]
)
@pytest.mark.parametrize("name", ["a.json", "a.json.gz", "a.json.zst"])
def test_documents_are_unpacked(plan, tmp_path, compress, name):
    """By their bytes, whatever they are called."""
    (tmp_path / name).write_bytes(compress(json.dumps([{"url": URL.format(1), "caption": "a"}]).encode()))
    assert ["a"] == list_captions(plan(name))[0]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        (
            "a.json",
            '{"url": ["http://a.example/1"], "caption": ["x"]}',
            "object of columns.*orient='records'",
        ),
        ("a.json", '{"url": {"0": "http://a.example/1"}, "caption": {"0": "x"}}', "object of columns"),
        ("a.json", "[]", "has no rows; give the whole list"),
        ("a.jsonl", '[\n {\n  "url": "http://a.example/1"\n }\n]', "say `format: json`"),
        ("a.jsonl", '[{"url": "http://a.example/1"}]', "say `format: json`"),
    ],
)
def test_a_document_of_another_form_is_said(plan, tmp_path, name, text, said):
    """With what to do about it."""
    (tmp_path / name).write_text(text)
    with pytest.raises(ListError, match=said):
        plan(name)


def test_texts_beside_lists_are_one_caption(plan, tmp_path):
    """`explode` of a column of texts."""
    write_parquet(tmp_path / "a.parquet", ["a", "[laughs]", None])
    assert ["a", "[laughs]"] == list_captions(plan("a.parquet", explode="caption"))[0]


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
@pytest.mark.parametrize(
    ("cell", "captions"),
    [
        ('["a", "b \\u00e9"]', ["a", "b é"]),
        ('[1, null, "c"]', ["1", "c"]),
        ("['a', 'it\\'s \"b\"']", ["a", 'it\'s "b"']),
        ("[\"it's\", 'b\\\\ \\xe9\\n', None,]", ["it's", "b\\ é"]),
        ("['\\\\x41', 'a\\\\\\'']", ["\\x41", "a\\'"]),
        ("plain", ["plain"]),
        ("[laughs]", ["[laughs]"]),
        ("[a] or [b]", ["[a] or [b]"]),
        ('[1, {"x": 2}]', None),
        ('[["a"]]', None),
        ("{'x': 1}", None),
        ('{"x": 1}', None),
        ("['a' 'b']", None),
        ("['a', b]", None),
        ("['a', '\\U0001f600']", None),
    ],
)
def test_lists_in_texts_are_read(plan, tmp_path, ending, cell, captions):
    """As JSON writes them and as Python shows them; what is neither is a reject, not a caption."""
    row = {"url": URL.format(1), "caption": cell}
    with (tmp_path / f"a.{ending}").open("w") as file:
        if ending == "jsonl":
            file.write(json.dumps(row))
        else:
            writer = csv.DictWriter(file, row)
            writer.writeheader()
            writer.writerow(row)
    _, rows, rejects = plan(f"a.{ending}", explode="caption")
    assert captions == ([row["caption"] for row in rows] or None)
    assert ([] if captions else ["nested"]) == [row["reason"] for row in rejects]


@pytest.mark.parametrize("captions", [[[{"x": 1}]], [{"x": "a"}], [[["a"]]]], ids=["list", "one", "deep"])
def test_objects_are_no_captions(describe, tmp_path, captions):
    """Of a list, and in place of one; in Parquet as in JSON."""
    write_parquet(tmp_path / "a.parquet", captions)
    (tmp_path / "a.jsonl").write_text(json.dumps({"url": URL.format(0), "caption": captions[0]}))
    for name in ("a.parquet", "a.jsonl"):
        assert {"nested": 1} == preview(describe(name, explode="caption")).reject_reasons


@pytest.mark.parametrize("is_list", [False, True])
def test_bytes_that_are_texts_are_decoded(plan, tmp_path, is_list):
    """Old Spark and Hive store texts as bytes; what is no UTF-8 is a reject."""
    cells = ["café".encode(), b"caf\xe9", None, b"b"]
    captions = pa.array([[cell] if is_list else cell for cell in cells])
    write_parquet(tmp_path / "a.parquet", captions)
    keys = {"explode": "caption"} if is_list else {}
    found, rejects = list_captions(plan("a.parquet", where="url <> ''", **keys))
    assert (["café", "b"], [(2, "encoding")]) == (found, rejects)


@pytest.mark.parametrize(
    ("one", "other", "kept"),
    [
        (pa.nulls(1), pa.array(["x"]), [None, "x"]),
        (pa.array(["x"]), pa.nulls(1), ["x", None]),
        (pa.array([1]), pa.array([2.5]), [1.0, 2.5]),
        (pa.array([1], pa.int32()), pa.array([2**40]), [1, 2**40]),
        (pa.array([1]), pa.array(["b"]), ["1", "b"]),
        (pa.array([["a"]], pa.large_list(pa.string())), pa.array([["b"]]), [["a"], ["b"]]),
    ],
)
def test_files_of_differing_types_are_one_table(plan, tmp_path, one, other, kept):
    """A type that has room for the cells of all of them."""
    (tmp_path / "d").mkdir()
    for number, column in enumerate((one, other)):
        write_parquet(tmp_path / f"d/{number}.parquet", [f"a{number}"], score=column)
    _, rows, rejects = plan("d", keep=["score"])
    assert (kept, []) == ([json.loads(row["kept"])["score"] for row in rows], rejects)


def test_files_that_have_nothing_in_common_are_said(plan, tmp_path):
    """They are not damaged."""
    (tmp_path / "d").mkdir()
    write_parquet(tmp_path / "d/0.parquet", ["a"], score=[1])
    write_parquet(tmp_path / "d/1.parquet", ["a"], score=[[1]])
    with pytest.raises(ListError, match=r"1\.parquet has 'score' as list.*and the files before it as int64"):
        plan("d", keep=["score"])
