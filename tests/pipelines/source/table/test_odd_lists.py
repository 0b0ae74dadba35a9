"""Lists of tables that are not as they should be: what is wrong is said, and fields stay as they are."""

import csv
import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.errors import ConfigError, ListError
from pipelines.source.table.delimited import DelimitedTable, Dialect
from pipelines.source.table.files import TableFiles

URL = "http://a.example/1.jpg"
WELL_FORMED = ['"a, ""b"""', '"""all"""', "a ''b", 'say "hi"', '"x"', '""""', "\\n", '"a\\"']


@pytest.mark.parametrize("cell", WELL_FORMED)
def test_quoted_fields_are_as_python_reads_them(plan, tmp_path, cell):
    """In SQL, and where rows are read in Python."""
    text = f"url,caption\n{URL},{cell}\n"
    (tmp_path / "a.csv").write_text(text)
    (row,) = csv.DictReader(io.StringIO(text))
    table = DelimitedTable(TableFiles([str(tmp_path / "a.csv")], "csv"), Dialect(), "list L")
    assert [[URL, row["caption"]]] == [cells for _, cells in table.read_records()]
    _, rows, rejects = plan("a.csv")
    assert [row["caption"]] == [found["caption"] for found in rows] or "no_caption" == rejects[0]["reason"]


@pytest.mark.parametrize(
    ("cell", "read"),
    [
        ('"Hello" she said "bye"', '"Hello" she said "bye"'),
        ('"x" and "y"', '"x" and "y"'),
        ('"a \\"b\\" c"', '"a \\"b\\" c"'),
        ('"half', None),
        ('"x"y', None),
    ],
)
def test_other_quotes_stay_as_they_are(plan, tmp_path, cell, read):
    """Or the row is a reject: no caption loses some of its quotes."""
    (tmp_path / "a.tsv").write_text(f"url\tcaption\n{URL}\t{cell}\n")
    table = DelimitedTable(TableFiles([str(tmp_path / "a.tsv")], "tsv"), Dialect(), "list L")
    assert [read and [URL, read]] == [cells for _, cells in table.read_records()]
    _, rows, rejects = plan("a.tsv")
    assert [read] == [row["caption"] for row in rows] or (read, "quotes") == (None, rejects[0]["reason"])


def test_columns_without_a_name_are_left_out(plan, tmp_path):
    """Spreadsheets write an index in front and empty cells behind."""
    (tmp_path / "a.csv").write_text(f",url,caption,x,,\n0,{URL},a,1,,\n")
    rows = plan("a.csv", keep="all")[1]
    assert [("a", '{"x":"1"}')] == [(row["caption"], row["kept"]) for row in rows]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"{URL},one\n{URL}?2,two\n", "header: false` and `columns: {url: 0, "),
        (f"one,{URL},one\n", "header: false` and `columns: {url: 1, "),
        (f"# by me\nurl,caption\n{URL},a\n", "begins with .#.: if it is a comment, say `comment: .#.`"),
    ],
)
@pytest.mark.parametrize("keys", [{}, {"columns": {"url": "url"}}], ids=["guessed", "named"])
def test_a_first_line_that_is_no_header_is_said(plan, tmp_path, text, said, keys):
    """With the key that is missing."""
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises((ListError, ConfigError), match=said):
        plan("a.csv", **keys)


@pytest.mark.parametrize("name", ["a.xlsx", "a.zip", "a.csv.bz2"])
def test_files_that_are_not_read_are_said(plan, tmp_path, name):
    """With those that are."""
    (tmp_path / name).write_bytes(b"PK")
    with pytest.raises(
        ListError, match=r"which is not read; lists are parquet.*plain or packed as gz or zst"
    ):
        plan(name)


def test_what_is_kept_is_json(plan, tmp_path):
    """NaN and infinity are null."""
    odd = [float("nan"), float("inf"), 1.5]
    structs = [{"x": one, "t": 'a "NaN", -inf'} for one in odd]
    columns = {"f": odd, "l": [[one, 2.0] for one in odd], "s": structs}
    urls = [f"{URL}?{n}" for n in range(3)]
    pq.write_table(pa.table({"url": urls, "caption": ["a"] * 3} | columns), tmp_path / "a.parquet")
    kept = [json.loads(row["kept"], parse_constant=pytest.fail) for row in plan("a.parquet", keep="all")[1]]
    numbers, text = (None, None, 1.5), 'a "NaN", -inf'
    assert [{"f": one, "l": [one, 2.0], "s": {"x": one, "t": text}} for one in numbers] == kept


def test_documents_keep_no_nan(plan, tmp_path):
    """Python writes it into JSON."""
    row = {"url": URL, "caption": "a", "x": [float("nan"), -float("inf"), "NaN"]}
    (tmp_path / "a.json").write_text(json.dumps([row]))
    assert ['{"x":[null,null,"NaN"]}'] == [found["kept"] for found in plan("a.json", keep=["x"])[1]]
