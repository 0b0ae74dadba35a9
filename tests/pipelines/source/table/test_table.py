"""`kind: table`: every format, columns of any name, broken lines."""

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.errors import ConfigError, ListError

ROWS = [
    {"url": "http://a.example/1.jpg", "caption": "a bell, ringing", "similarity": 0.3},
    {"url": "http://a.example/2.jpg", "caption": "two\nlines", "similarity": 0.1},
    {"url": "http://a.example/3.jpg", "caption": 'é 5" pipe', "similarity": 0.5},
]


def write_csv(path, delimiter=","):
    quote = '"{}"'.format
    lines = [delimiter.join(["url", "caption", "similarity"])]
    lines += [
        delimiter.join([row["url"], quote(row["caption"].replace('"', '""')), str(row["similarity"])])
        for row in ROWS
    ]
    path.write_text("\r\n".join(lines) + "\r\n")


def write(path):
    """Write ROWS as the ending of a path says."""
    match path.suffixes[0]:
        case ".csv":
            write_csv(path)
        case ".tsv":
            write_csv(path, "\t")
        case ".parquet":
            pq.write_table(pa.Table.from_pylist(ROWS), path, row_group_size=2)
        case ".jsonl":
            path.write_text("\n".join(json.dumps(row) for row in ROWS))
        case ".json":
            path.write_text(json.dumps({"n": 3, "data": ROWS}))


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.parquet", "a.jsonl", "a.json"])
def test_every_format_gives_the_same_rows(plan, tmp_path, name):
    """Quotes, line ends in fields, other alphabets, and numbers in `where` are the same in all of them."""
    write(tmp_path / name)
    counts, rows, _ = plan(name, where="similarity > 0.05", **({"at": "data"} if name == "a.json" else {}))

    assert (3, 3, 0) == (counts.rows_read, counts.candidates, counts.rejects)
    assert [row["url"] for row in ROWS] == [row["url"] for row in rows]
    assert ["a bell, ringing", "two lines", 'é 5" pipe'] == [row["caption"] for row in rows]
    assert {"image"} == {row["kind"] for row in rows}
    assert f"list {tmp_path / name}: the URL is column 'url'" in counts.notes


@pytest.mark.parametrize("compression", ["gz", "zst"])
def test_a_list_may_be_compressed(plan, tmp_path, compression):
    """Known by its first bytes."""
    write(tmp_path / "a.csv")
    data = (tmp_path / "a.csv").read_bytes()
    name = f"b.csv.{compression}"
    packed = gzip.compress(data) if compression == "gz" else pa.compress(data, "zstd", asbytes=True)
    (tmp_path / name).write_bytes(packed)
    assert 3 == plan(name)[0].candidates


def test_a_folder_and_a_glob_are_all_their_files(plan, tmp_path):
    """In the order of their names; what a tool leaves beside them is none."""
    folder = tmp_path / "parts"
    folder.mkdir()
    for number in (2, 0, 1):
        rows = [{"URL": f"http://a.example/{number}-{row}.jpg", "TEXT": "a bell"} for row in range(2)]
        pq.write_table(pa.Table.from_pylist(rows), folder / f"part-{number}.parquet")
    (folder / "_SUCCESS").touch()
    (folder / "notes.md").write_text("no list")
    wanted = [f"http://a.example/{number}-{row}.jpg" for number in range(3) for row in range(2)]

    assert wanted == [row["url"] for row in plan("parts")[1]]
    assert wanted == [row["url"] for row in plan("parts/*.parquet")[1]]


def test_urls_alone_are_media_alone(plan, tmp_path):
    """A list without captions is no list of empty captions."""
    (tmp_path / "a.txt").write_text("http://a.example/1.jpg\n\nhttp://a.example/2.jpg\n")
    counts, rows, _ = plan("a.txt")

    assert (2, {}) == (counts.candidates, counts.filtered)
    assert ["", ""] == [row["caption"] for row in rows]
    assert any("these are media alone" in note for note in counts.notes)


def test_a_broken_line_is_a_reject_with_its_number(plan, tmp_path):
    """And stays one line: neither a quote too many nor a short row takes the rows behind it."""
    (tmp_path / "a.csv").write_text(
        'url,caption\nhttp://a.example/1.jpg,"a\nb"\nshort\nhttp://a.example/2.jpg,"open\n'
        'http://a.example/3.jpg,5" pipe\n,no url\nhttp://a.example/4.jpg,\n'
    )
    counts, rows, rejects = plan("a.csv")

    assert {"columns": 1, "quotes": 1, "no_url": 1} == counts.reject_reasons
    assert [(4, "columns"), (5, "quotes"), (7, "no_url")] == [(row["line"], row["reason"]) for row in rejects]
    assert ["a b", '5" pipe'] == [row["caption"] for row in rows]
    assert {"no_caption": 1} == counts.filtered


def test_a_field_over_lines_is_one_however_the_file_is_read(tmp_path, monkeypatch):
    """Blocks of any size give the same records, and the same numbers of their lines."""
    from pipelines.source import records
    from pipelines.source.table.delimited import DelimitedTable, Dialect
    from pipelines.source.table.files import find_files

    lines = ["url,caption"]
    for number in range(200):
        lines.append(f'http://a.example/{number}.jpg,"line one\nline {number}, ""two""\nthree"')
        lines.append(f'http://a.example/{number}b.jpg,{number}" long' if number % 7 == 0 else "u,plain")
    (tmp_path / "a.csv").write_text("\n".join(lines))

    def read():
        table = DelimitedTable(find_files(str(tmp_path / "a.csv"), None), Dialect(), "L")
        batches = table.make_cells(["url"]).read_batches()
        return [row for batch in batches for row in batch.to_pylist()]

    whole = read()
    assert 400 == len(whole)
    assert 2 == whole[0]["line"]
    for size in (64, 257, 1000):
        monkeypatch.setattr(records, "BLOCK_BYTES", size)
        assert whole == read()


def test_several_captions_are_several_rows(plan, tmp_path):
    """An empty one is none, but a row whose captions are all empty is counted."""
    rows = [
        {"url": "http://a.example/1.jpg", "a": "one", "b": "two", "many": ["p", "", "q"]},
        {"url": "http://a.example/2.jpg", "a": "three", "b": None, "many": []},
        {"url": "http://a.example/3.jpg", "a": "", "b": " ", "many": None},
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")

    counts, found, _ = plan("a.parquet", columns={"caption": ["a", "b"]})
    assert ["one", "two", "three"] == [row["caption"] for row in found]
    assert [0, 0, 1] == [row["source_row"] for row in found]
    assert (4, {"no_caption": 1}) == (counts.rows_read, counts.filtered)


@pytest.mark.parametrize("form", ["parquet", "jsonl"])
def test_lists_in_cells_are_exploded(plan, tmp_path, form):
    """A text that is no list is one caption."""
    rows = [
        {"url": "http://a.example/1.jpg", "many": ["p", "", "q"]},
        {"url": "http://a.example/2.jpg", "many": []},
        {"url": "http://a.example/4.jpg", "many": ["x"] * 2000},
    ]
    if form == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    else:
        rows.insert(2, {"url": "http://a.example/3.jpg", "many": "alone"})
        (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    counts, found, _ = plan(f"a.{form}", columns={"caption": "many"}, explode=["many"])

    assert ["p", "q", *(["alone"] if form == "jsonl" else [])] == [row["caption"] for row in found]
    assert {"items": 1} == counts.reject_reasons


def test_a_template_joins_columns(plan, tmp_path):
    """As lists with a title and a description want it."""
    (tmp_path / "a.csv").write_text("url,Title,body\nhttp://a.example/1.jpg,A bell,it rings\n")
    assert ["A bell: it rings."] == [
        row["caption"] for row in plan("a.csv", columns={"caption": "{title}: {body}."})[1]
    ]


def test_clips_have_times(plan, tmp_path):
    """From columns or from the id; an end is a length, and what is no number is a reject."""
    (tmp_path / "a.csv").write_text(
        "ytid, start_s, end_s, caption\nabcdefghijk, 30, 40.5, rain\nabcdefghijk, soon, 40, rain\n"
        "abcdefghijk, 50, 40, rain\n"
    )
    columns = {"id": "ytid", "start_s": "start_s", "end_s": "end_s", "caption": "caption"}
    counts, rows, _ = plan("a.csv", of="sound", columns=columns, id_pattern=r"(?P<youtube_id>[\w-]{11})")

    assert [("clip", "https://www.youtube.com/watch?v=abcdefghijk", 30.0, 10.5)] == [
        (row["kind"], row["url"], row["start_s"], row["length_s"]) for row in rows
    ]
    assert {"number": 2} == counts.reject_reasons


def test_comments_headers_and_quotes_are_as_a_user_says(plan, tmp_path):
    """As in the lists of AudioSet: comments first, no header, a blank before each field."""
    (tmp_path / "a.csv").write_text(
        "# Segments\n# n=2\nabcdefghijk, 30.000, 40.000, '/m/1,/m/2'\nbbcdefghijk, 0.0, 10.0, '/m/3'\n"
    )
    _, rows, _ = plan(
        "a.csv",
        of="sound",
        comment="#",
        quote="'",
        header=["YTID", "start", "end", "labels"],
        columns={"id": "YTID", "start_s": "start", "end_s": "end", "label": "labels"},
        id_pattern="(?P<youtube_id>.{11})",
    )
    assert [(30.0, "/m/1,/m/2"), (0.0, "/m/3")] == [(row["start_s"], row["label"]) for row in rows]


@pytest.mark.parametrize(
    ("text", "keys", "error", "said"),
    [
        ("link2,words\nhttp://a,b\n", {}, ConfigError, "has no column of URLs among link2, words; name it"),
        (
            "url,txt\nhttp://a,b\n",
            {"columns": {"url": "urll"}},
            ConfigError,
            "no column 'urll' for url; it has url",
        ),
        ("url,URL,c\na,b,c\n", {}, ConfigError, "has url and URL, which could both be the url; say which"),
        (
            "image_url,audio_url,c\na,b,c\n",
            {},
            ConfigError,
            "image_url and audio_url, which could both be the url",
        ),
        ("url,alt,alt_text\na,b,c\n", {}, ConfigError, "alt and alt_text, which could both be the caption"),
        ("url,url\na,b\n", {}, ConfigError, "has two columns 'url'"),
        ("url,c\n", {}, ListError, "has no rows; give the whole list"),
        ("", {}, ListError, "is empty; give a list with rows"),
        ("u;c\nhttp://a;b\n", {}, ConfigError, "has no column of URLs among u, c"),
        ("url,c\na,b\n", {"header": ["url"]}, ConfigError, "has 2 columns and `header` names 1"),
        ("# only\n", {"comment": "#"}, ListError, "has comments alone"),
        ("url,c\na,b\n", {"where": "x > 1"}, ConfigError, "`where` names 'x', and the list has url, c"),
        (
            "url,c\na,b\n",
            {"id_pattern": "(?P<youtube_id>.)"},
            ConfigError,
            "id_pattern is for the column `id`",
        ),
        ("url,c\na,b\n", {"id_pattern": "(?P<x>.)"}, ConfigError, "has the group 'x'; name youtube_id"),
        ("url,c\na,b\n", {"id_pattern": "("}, ConfigError, r"id_pattern '\(' is no RE2"),
        ("url,c\na,b\n", {"format": "parquet"}, ListError, "is no Parquet file"),
        ("url,c\na,b\n", {"format": "jsonl"}, ListError, "has no JSON object among its first rows"),
        ("url,c\na,b\n", {"format": "json"}, ListError, "is no JSON"),
        (
            '{"data": {"rows": []}}',
            {"format": "json", "at": "data"},
            ListError,
            r"no list at 'data'; say `at: data\.rows`",
        ),
        (
            "url,c\na,b\n",
            {"preset": "datacomb"},
            ConfigError,
            "no preset 'datacomb'; the nearest is 'datacomp'",
        ),
        (
            "url,c\na,b\n",
            {"explode": ["d"]},
            ConfigError,
            "explode names 'd', which is no column of captions",
        ),
        ("url,c\na,b\n", {"columns": {"uri": "url"}}, ConfigError, "columns"),
    ],
)
def test_a_list_that_is_not_so_is_one_sentence(plan, tmp_path, text, keys, error, said):
    """With what was found, and nothing is written."""
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(error, match=said) as caught:
        plan("a.csv", **keys)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "root").exists()


@pytest.mark.parametrize("form", ["parquet", "jsonl", "json"])
@pytest.mark.parametrize(
    "columns", [{}, {"caption": "of: {caption}"}, {"caption": "url", "label": "caption"}]
)
def test_nested_columns_are_refused(plan, tmp_path, form, columns):
    """A structure is no caption, whatever the format is; the way to take a list is said."""
    if form == "parquet":
        pq.write_table(pa.table({"url": ["a"], "caption": [["x", "y"]]}), tmp_path / "a.parquet")
    else:
        row = json.dumps({"url": "a", "caption": ["x", "y"]})
        (tmp_path / f"a.{form}").write_text(row if form == "jsonl" else f"[{row}]")
    with pytest.raises(
        ConfigError, match=r"cells of 'caption' are lists or structures.*`explode: \[caption\]`"
    ):
        plan(f"a.{form}", columns=columns)


def test_a_nested_cell_behind_the_head_is_a_reject(plan, tmp_path):
    """What the first thousand rows of JSON do not show; a text that looks like a list stays a text."""
    rows = [{"url": f"http://a.example/{n}.jpg", "caption": f"bell {n}"} for n in range(1100)]
    rows[1010] |= {"caption": ["x", "y"]}
    rows[1011] |= {"caption": '["x"]'}
    rows[1012] |= {"url": {"href": "http://a.example/x.jpg"}}
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    counts, found, rejects = plan("a.jsonl")

    assert [(1011, "nested"), (1013, "nested")] == [(row["line"], row["reason"]) for row in rejects]
    assert (1100, 1098, '["x"]') == (counts.rows_read, len(found), found[1010]["caption"])


def test_files_of_one_list_are_alike(plan, tmp_path):
    """A part of another format or with other columns is said by its name."""
    (tmp_path / "p-1.csv").write_text("url,c\na,b\n")
    (tmp_path / "p-2.csv").write_text("c,url\nb,a\n")
    with pytest.raises(ListError, match=r"p-2\.csv has the columns c, url, and .*p-1\.csv has url, c"):
        plan("p-*.csv")
    (tmp_path / "p-2.csv").unlink()
    (tmp_path / "p-2.tsv").write_text("url\tc\na\tb\n")
    with pytest.raises(ListError, match="has files of csv and tsv"):
        plan("p-*")
