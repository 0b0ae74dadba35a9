"""Captions of one list on the rows of another."""

import io
import json
import tarfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from jobs.plan import format_plan
from pipelines.errors import ConfigError, ListError

ROWS = [{"id": f"k{row}", "url": f"http://a.example/{row}.jpg", "caption": f"own {row}"} for row in range(4)]
OTHER = [
    {"uid": "k1", "link": "http://a.example/1.jpg", "recaption": "a red bell"},
    {"uid": "k2", "link": " http://a.example/2.jpg\t", "recaption": "two\nlines"},
    {"uid": "k1", "link": "http://a.example/1.jpg", "recaption": "the second of one row"},
    {"uid": "k0", "link": "http://a.example/0.jpg", "recaption": "  "},
    {"uid": "k9", "link": "http://a.example/9.jpg", "recaption": "of no row"},
]
WANTED = ["own 0", "a red bell", "two lines", "own 3"]


@pytest.fixture
def lists(tmp_path):
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "rows.parquet")
    pq.write_table(pa.Table.from_pylist(OTHER), tmp_path / "other.parquet")
    (tmp_path / "other.jsonl").write_text("\n".join(map(json.dumps, OTHER)) + "\nbroken")
    return tmp_path


def make_source(lists, on, other="other.parquet", **keys):
    join = {"list": str(lists / other), "on": on, "caption": "recaption"} | keys
    return {"kind": "table", "list": str(lists / "rows.parquet"), "columns": {"id": "id"}, "join": join}


@pytest.mark.parametrize("other", ["other.parquet", "other.jsonl"])
@pytest.mark.parametrize(("on", "keys"), [("url", {}), ("id", {}), ("key", {"column": "UID"})])
def test_rows_get_the_captions_of_their_partners(plan, lists, other, on, keys):
    """The first of a key; rows without a partner, or with an empty one, keep their own."""
    planned = plan(make_source(lists, on, other, **keys), contact="me@a.example")

    assert WANTED == planned.column("caption")
    said = next(note for note in planned.counts.notes if "have the caption of" in note)
    assert f"rows.parquet: 2 rows have the caption of {lists / other}, of 1 repeated keys the first" in said
    assert "2 have no partner there and keep their own, or none" in said
    assert (4, 4, 0) == (planned.counts.rows_read, planned.counts.candidates, planned.counts.rejects)


def test_ids_follow_the_captions(plan, lists):
    """A row with another caption is another candidate, and of rows that became equal the first is kept."""
    ids = plan(make_source(lists, "url"), contact="me@a.example").column("id")
    plain = make_source(lists, "url") | {"join": None}
    before = plan(plain, contact="me@a.example").column("id")
    assert [True, False, False, True] == [one == other for one, other in zip(ids, before, strict=True)]


def test_part_of_a_key_is_a_pattern(plan, lists):
    """AudioSetCaps writes Y before YouTube's ids."""
    other = [{"id": f"Y{row['id']}", "recaption": "joined"} for row in ROWS[1:]] + [
        {"id": "k0", "recaption": "of none"}
    ]
    pq.write_table(pa.Table.from_pylist(other), lists / "other.parquet")
    planned = plan(make_source(lists, "id", pattern="^Y(.+)$"), contact="me@a.example")
    assert ["own 0", "joined", "joined", "joined"] == planned.column("caption")


def test_a_list_of_many_rows_stays_in_its_memory(plan, tmp_path):
    """Both lists are larger than the database may hold, and every row finds its partner."""
    rows = 60_000
    numbers = [*range(rows)]
    table = pa.table({"url": [f"http://a.example/{row}.jpg" for row in numbers], "caption": ["x"] * rows})
    pq.write_table(table, tmp_path / "rows.parquet")
    text = [f"{row} " + "long words " * 40 for row in numbers[::-1]]
    table = pa.table({"url": [f"http://a.example/{row}.jpg" for row in numbers[::-1]], "caption": text})
    pq.write_table(table, tmp_path / "other.parquet")
    join = {"list": str(tmp_path / "other.parquet"), "on": "url"}
    source = {"kind": "table", "list": str(tmp_path / "rows.parquet"), "join": join}
    planned = plan(source, memory="64MiB", threads=1, shard_rows=10_000, contact="me@a.example")

    assert [f"{row} long" for row in numbers] == [" ".join(c.split()[:2]) for c in planned.column("caption")]


# The damaged rows of a joined list: its content, and the line and reason of each reject.
DAMAGED = {
    "jsonl": (
        "\n".join(map(json.dumps, OTHER)) + '\nbroken\n{"link": " ", "recaption": "x"}\n[1]\n',
        [(6, "json"), (7, "key"), (8, "json")],
    ),
    "csv": (
        b"link,recaption\nhttp://a.example/1.jpg,a red bell\nhttp://a.example/2.jpg,two lines,3\n"
        b'http://a.example/2.jpg,two lines\n,x\nhttp://a.example/3.jpg,"open\nhttp://a.example/3.jpg,caf\xe9\n',
        [(3, "columns"), (5, "key"), (6, "quotes"), (7, "encoding")],
    ),
    "tsv": (
        b"link\trecaption\nhttp://a.example/1.jpg\ta red bell\nhttp://a.example/2.jpg\ttwo lines\n\0\tx\n",
        [(4, "nul")],
    ),
}


@pytest.mark.parametrize("ending", DAMAGED)
def test_damage_of_the_other_list_is_counted_and_said(plan, lists, ending):
    """Its rejects lie beside those of the rows, and its rows add up; the counts of the list stay its own."""
    content, rejects = DAMAGED[ending]
    (lists / f"other.{ending}").write_bytes(content.encode() if isinstance(content, str) else content)
    planned = plan(make_source(lists, "url", f"other.{ending}"), contact="me@a.example")

    assert WANTED == planned.column("caption")
    rows = planned.rows("rejects")
    assert rejects == [(row["line"], row["reason"]) for row in rows]
    assert {str(lists / f"other.{ending}")} == {row["list"] for row in rows}
    (counts,) = planned.counts.sources
    joined = counts.joined
    assert joined.rows_read == joined.captions + joined.repeated + joined.no_caption + joined.rejects
    assert (len(rejects), 0, 4) == (joined.rejects, counts.rejects, counts.rows_read)
    assert f"{len(rejects)} of {joined.rows_read} rows of the joined list" in planned.counts.warnings[0]
    shown = format_plan(planned.counts)
    assert all(f"1   reject: {reason}" in shown or "2   reject: json" in shown for _, reason in rejects)


# Keys of `join`, and what is said.
WRONG = {
    "no-list": ({"list": "none.parquet", "on": "url"}, "none.parquet is not there"),
    "no-match": ({"on": "url", "column": "uid"}, "no row of list .* has a partner in .*name another `on`"),
    "no-column": (
        {"on": "url", "column": "lnk"},
        "has no column for 'lnk'; name one with `column:`, as in link",
    ),
    "no-caption": ({"on": "url", "caption": None}, "has no column for 'caption'; name one with `caption:`"),
    "two-groups": ({"on": "id", "pattern": "(a)(b)"}, "has not one group"),
    "no-pattern": ({"on": "id", "pattern": "(a"}, "is no RE2"),
    "another-on": ({"on": "name"}, "sources.0.join.on"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_keys_are_one_sentence(plan, lists, case):
    """And nothing is written."""
    keys, said = WRONG[case]
    keys = keys | ({"list": str(lists / keys["list"])} if "list" in keys else {})
    with pytest.raises((ConfigError, ListError), match=said) as error:
        plan(make_source(lists, **{"on": "url"} | keys), contact="me@a.example")
    assert "\n" not in str(error.value)


def test_a_table_without_ids_says_so(plan, lists):
    """A join on what the rows do not have; a column that is called so need not be named."""
    source = make_source(lists, "id") | {"columns": {}}
    assert WANTED == plan(source, contact="me@a.example").column("caption")
    rows = [{"name": row["id"], "url": row["url"], "caption": row["caption"]} for row in ROWS]
    pq.write_table(pa.Table.from_pylist(rows), lists / "rows.parquet")
    with pytest.raises(ConfigError, match="join is on id, which is the column `id` of this list; name it"):
        plan(source, contact="me@a.example")


def write_tar(path, samples):
    with tarfile.open(path, "w") as tar:
        for name, data in samples:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def test_ready_shards_get_captions(plan, lists):
    """Tars of webdataset and folders of img2dataset, by their keys or their links."""
    shards = lists / "shards"
    shards.mkdir()
    members = [
        (f"{key}.{end}", data) for key in ("k1", "k3") for end, data in (("jpg", b"j"), ("txt", b"old"))
    ]
    write_tar(shards / "00000.tar", members)
    join = {"list": str(lists / "other.parquet"), "on": "key", "caption": "recaption"}
    planned = plan({"kind": "webdataset", "list": str(shards), "join": join})
    assert ["a red bell", "old"] == planned.column("caption")

    table = {"url": [row["link"] for row in OTHER[:2]], "caption": [None, "old"], "key": ["k1", "k2"]}
    pq.write_table(pa.table(table | {"status": ["success"] * 2}), shards / "00000.parquet")
    join = {"list": str(lists / "other.parquet"), "on": "url", "caption": "recaption"}
    planned = plan({"kind": "img2dataset", "list": str(shards), "join": join})
    assert ["a red bell", "two lines"] == planned.column("caption")


def test_a_bare_on_of_yaml_is_the_key(plan, lists):
    """YAML 1.1 reads `on` as true, and nobody quotes it."""
    source = make_source(lists, "url")
    written = yaml.safe_dump(source).replace("'on'", "on")
    assert True in yaml.safe_load(written)["join"]
    assert WANTED == plan(yaml.safe_load(written), contact="me@a.example").column("caption")
