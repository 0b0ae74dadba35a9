"""Where the media of a table may be: below `files`, below `stores`, in its own cells, and nowhere else."""

import hashlib
from pathlib import Path

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.errors import ConfigError
from pipelines.fetch.files import parse_location

WORDS = "a bell"


@pytest.fixture
def clips(tmp_path, jpeg):
    """A folder of pictures, beside one that is nobody's business, with links between them."""
    inside, outside = tmp_path / "clips", tmp_path / "secret"
    (inside / "a b").mkdir(parents=True)
    outside.mkdir()
    for path in (inside / "1.jpg", inside / "a b" / "ü#%.jpg", outside / "2.jpg"):
        path.write_bytes(jpeg(len(str(path))))
    (inside / "link.jpg").symlink_to(outside / "2.jpg")
    (inside / "same.jpg").symlink_to(inside / "1.jpg")
    (tmp_path / "alias").symlink_to(inside)
    return inside


def write(path, names, columns="url"):
    path.write_text("\n".join([f"{columns},caption", *(f"{name},{WORDS}" for name in names)]) + "\n")


def test_paths_count_below_files_alone(plan, fetch, tmp_path, clips):
    """Relative, absolute or as URLs; what leads out is a reject, and by a link it is blocked."""
    names = [
        "1.jpg", "./a b/ü#%.jpg", f"{clips}/1.jpg", f"file://{clips}/a%20b/%C3%BC%23%25.jpg", "same.jpg",
        f"{tmp_path}/alias/1.jpg", "link.jpg", "gone.jpg", "http://127.0.0.1:9/a.jpg",
        "../secret/2.jpg", f"{tmp_path}/secret/2.jpg", f"file://{tmp_path}/secret/2.jpg",
        "a/../../secret/2.jpg",
        f"file://{clips}/%2e%2e/secret/2.jpg", "//elsewhere/1.jpg", "file://elsewhere/1.jpg", "~/1.jpg",
        "s3://bucket/1.jpg",
    ]  # fmt: skip
    write(tmp_path / "a.csv", names)
    keys = {"files": str(tmp_path / "alias")}
    counts, _, _ = plan("a.csv", **keys)
    rows = {names[row["source_row"]]: (row["outcome"], row["reason"]) for row in fetch("a.csv", **keys)}

    # Three rows are the same file, and one of them an absolute path behind the link.
    assert {"path_out": 7, "store": 1} == counts.reject_reasons
    assert {"1.jpg", "./a b/ü#%.jpg", "same.jpg"} == {
        name for name, found in rows.items() if found[0] == "ok"
    }
    assert ("blocked", "link_out") == rows["link.jpg"]
    assert ("dead", "no_such_file") == rows["gone.jpg"] == rows["~/1.jpg"]
    assert ("blocked", "private_address") == rows["http://127.0.0.1:9/a.jpg"]


def test_without_files_a_path_is_a_reject(plan, tmp_path, clips):
    """However it is written; and it is said what to do."""
    write(tmp_path / "a.csv", ["1.jpg", "/etc/passwd", f"file://{clips}/1.jpg", "http://a.example/1.jpg"])
    counts, rows, rejects = plan("a.csv")

    assert {"local_file": 3} == counts.reject_reasons
    assert ["http://a.example/1.jpg"] == [row["url"] for row in rows]
    assert ["1.jpg,a bell", 2] == [rejects[0]["text"], rejects[0]["line"]]
    assert any(
        "3 rows name files of this machine" in each and "`files: clips`" in each
        for each in counts.sources[0].warnings
    )


def test_a_text_needs_no_place(plan, tmp_path):
    """Nothing of it is fetched."""
    write(tmp_path / "a.csv", ["/etc/passwd", "s3://b/c"])
    assert 2 == plan("a.csv", take="text")[0].candidates


def test_objects_count_below_stores_alone(plan, fetch, tmp_path, object_store, jpeg):
    """A prefix ends at a slash, and nothing that fsspec would follow elsewhere is taken."""
    client = boto3.client("s3")
    for key in ("open/1.jpg", "open-not/2.jpg", "closed/3.jpg"):
        client.put_object(Bucket="echolens", Key=key, Body=jpeg(1))
    names = [
        "s3://echolens/open/1.jpg", "s3://echolens/open/gone.jpg", "s3://echolens/open-not/2.jpg",
        "s3://echolens/closed/3.jpg", "s3://echolens/open/../closed/3.jpg", "gs://echolens/open/1.jpg",
        "s3://echolens/open/x.zip::file:///etc/passwd", "simplecache::s3://echolens/open/1.jpg",
    ]  # fmt: skip
    write(tmp_path / "a.csv", names)
    keys = {"stores": ["s3://echolens/open"]}
    counts, _, _ = plan("a.csv", **keys)

    assert {"store": 6} == counts.reject_reasons
    assert [
        ("s3://echolens/open/1.jpg", "ok", ""),
        ("s3://echolens/open/gone.jpg", "dead", "no_such_file"),
    ] == [(row["url"], row["outcome"], row["reason"]) for row in fetch("a.csv", **keys)]


def test_what_is_fetched_is_checked_again():
    """A plan may come from somebody else: fsspec's chains are no places."""
    assert parse_location("s3://bucket/x::file:///etc/passwd") is None


@pytest.mark.parametrize("has_url", [False, True])
def test_a_template_names_files(plan, fetch, tmp_path, clips, has_url):
    """Below `files`, escaped, and not out of it; a list's own URL stays what a row is known by."""
    (tmp_path / "a.csv").write_text(
        "ytid,page,caption\n1,http://a.example/1,x\nlink,http://a.example/2,x\n../secret/2,http://a.example/3,x\n"
        ",http://a.example/4,x\na b/ü#%,http://a.example/5,x\n"
    )
    columns = {"id": "ytid"} | ({"url": "page"} if has_url else {})
    keys = {"files": str(clips), "media": "{id}.jpg", "columns": columns}
    counts, _, _ = plan("a.csv", **keys)
    rows = fetch("a.csv", **keys)

    assert {"path_out": 1} | ({} if has_url else {"no_url": 1}) == counts.reject_reasons
    found = [(row["media_url"].removeprefix(clips.as_uri()), row["outcome"]) for row in rows]
    assert [("/1.jpg", "ok"), ("/link.jpg", "blocked"), ("/a%20b/%C3%BC%23%25.jpg", "ok")] == [
        each for each in found if each[0].startswith("/")
    ]
    assert has_url == (rows[0]["url"] == "http://a.example/1")
    assert ["1", "link"] == [row["source_key"] for row in rows[:2]]


def test_a_template_of_whole_recordings_is_cut(plan, fetch, tmp_path, flac):
    """At `start_s`, which one that has it in its names is not."""
    folder = tmp_path / "clips"
    folder.mkdir()
    (folder / "x.flac").write_bytes(flac(1, length_s=3.0))
    (folder / "x_000002.flac").write_bytes(flac(2, length_s=1.0))
    (tmp_path / "a.csv").write_text("id,start,caption\nx,2,rain\n")
    columns = {"id": "id", "start_s": "start", "length_s": 1.0}
    keys = {"files": str(folder), "of": "sound", "columns": columns}
    for media in ("{id}.flac", "{id}_{start_s:06d}.flac"):
        plan("a.csv", media=media, **keys)
        (row,) = fetch("a.csv", media=media, **keys)
        assert ("ok", 1.0) == (row["outcome"], row["sound_s"])
        assert row["flac"]
        for path in sorted((tmp_path / "root").rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()


def test_templates_of_the_web_and_of_buckets(plan, tmp_path):
    """Are no paths, and buckets are in `stores`."""
    write(tmp_path / "a.csv", ["1", "2"], "id")
    keys = {"columns": {"id": "id"}}
    assert ["https://a.example/1.jpg", "https://a.example/2.jpg"] == [
        row["media_url"] for row in plan("a.csv", media="https://a.example/{id}.jpg", **keys)[1]
    ]
    (tmp_path / "root/plan/counts.json").unlink()
    assert {"store": 2} == plan("a.csv", media="s3://bucket/{id}.jpg", **keys)[0].reject_reasons


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"files": "s3://b/c"}, "files 's3://b/c' is no folder of this machine; name it in `stores`"),
        ({"files": "/"}, "files '/' is every file of this machine; name a folder below"),
        ({"files": "/no/such/folder"}, "files '/no/such/folder' is not there"),
        ({"media": "{id}.jpg", "columns": {"id": "url"}}, "is a path; say which folder it is below"),
        ({"media": "http://a/{x}"}, r"has \{x\}, and a row has .*\{url\}.*; name one of those"),
        ({"media": "http://a/{url"}, "cannot be read .*; pair its braces"),
        ({"media": "http://a/{url:03d}"}, "has the format '03d' for url"),
        (
            {"stores": ["https://a/"]},
            "'https://a/' is no prefix of a bucket; write it as in s3://bucket/folder/",
        ),
        ({"stores": ["s3://"]}, "is no prefix of a bucket"),
        ({"stores": ["file:///a/"]}, "is no prefix of a bucket"),
        ({"stores": ["s3://b/../c"]}, "is no prefix of a bucket"),
        ({"stores": ["s3::file:///a"]}, "is no prefix of a bucket"),
        (
            {"columns": {"bytes": "caption"}},
            "the cells of 'caption' are no bytes; name a column of a Parquet",
        ),
    ],
)
def test_places_that_cannot_be(plan, tmp_path, keys, said):
    """One sentence, and nothing is written."""
    write(tmp_path / "a.csv", ["http://a.example/1.jpg"])
    with pytest.raises(ConfigError, match=said) as caught:
        plan("a.csv", **keys)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "root").exists()


def test_a_list_of_another_machine_names_no_files(plan, tmp_path, object_store):
    """Whatever its rows say."""
    boto3.client("s3").put_object(Bucket="echolens", Key="a.csv", Body=b"url,caption\n1.jpg,a\n")
    with pytest.raises(ConfigError, match="is on another machine, and such a list may name no files"):
        plan("s3://echolens/a.csv", files=str(tmp_path))


def make_pictures(count, jpeg):
    return [{"bytes": jpeg(number), "path": f"{number}.jpg"} for number in range(count)]


@pytest.mark.parametrize("form", ["plain", "structure"])
def test_media_in_cells_are_read_from_the_table(plan, fetch, tmp_path, jpeg, form):
    """Which is a list of places: each row gets its own, over files and groups."""
    pictures = make_pictures(12, jpeg)
    cells = [each["bytes"] if form == "plain" else each for each in pictures]
    cells[3] = None
    cells[4] = b"" if form == "plain" else {"bytes": None, "path": "4.jpg"}
    for part in (0, 1):
        rows = [{"Image": cells[n], "caption": f"number {n}"} for n in range(6 * part, 6 * part + 6)]
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / f"a-{part}.parquet", row_group_size=4)
    keys = {"columns": {"bytes": "image"}}
    counts, _, _ = plan("a-*.parquet", **keys)
    rows = fetch("a-*.parquet", **keys)

    assert (12, 12) == (counts.rows_read, counts.candidates)
    assert [f"number {n}" for n in range(12)] == [row["caption"] for row in rows]
    assert [n for n in range(12) if n not in (3, 4)] == [
        n for n, row in enumerate(rows) if row["outcome"] == "ok"
    ]
    assert {("invalid", "empty")} == {(rows[n]["outcome"], rows[n]["reason"]) for n in (3, 4)}
    assert f"{(tmp_path / 'a-1.parquet').as_uri()}#parquet/Image/1" == rows[7]["media_url"]
    # Pictures of other seeds differ, so each is that of its row.
    assert 10 == len({row["sha256"] for row in rows if row["sha256"]})


def test_cells_of_one_file_are_read(plan, fetch, tmp_path, jpeg):
    """The place of such a list is a file, and not a folder that its rows would have to be in."""
    rows = [{"image": each, "caption": "a bell"} for each in make_pictures(3, jpeg)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    keys = {"columns": {"bytes": "image"}}
    plan("a.parquet", **keys)

    assert ["ok"] * 3 == [row["outcome"] for row in fetch("a.parquet", **keys)]


def test_cells_of_a_bucket_and_of_sounds(plan, fetch, tmp_path, object_store, flac):
    """The same, from a copy of the table."""
    rows = [{"audio": {"bytes": flac(n), "path": None}, "text": "rain"} for n in range(3)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    boto3.client("s3").upload_file(str(tmp_path / "a.parquet"), "echolens", "cells/a.parquet")
    keys = {"columns": {"bytes": "audio"}, "of": "sound"}
    plan("s3://echolens/cells/a.parquet", **keys)

    assert ["ok"] * 3 == [row["outcome"] for row in fetch("s3://echolens/cells/a.parquet", **keys)]


def test_cells_are_named_where_there_are_no_urls(plan, tmp_path, jpeg):
    """The way to take them is in the sentence."""
    pq.write_table(pa.table({"image": make_pictures(1, jpeg), "c": ["x"]}), tmp_path / "a.parquet")
    with pytest.raises(ConfigError, match=r"'image' holds bytes, as in `\{bytes: image\}`"):
        plan("a.parquet")


def test_cells_are_read_in_any_order_within_bounds(tmp_path, monkeypatch):
    """What one request passes is kept for the next, and never more than a part of it."""
    from pipelines.fetch import table_cells

    cells = [hashlib.sha256(bytes([n])).digest() * 100 for n in range(64)]
    pq.write_table(pa.table({"b": cells}), tmp_path / "a.parquet", row_group_size=32)
    monkeypatch.setattr(table_cells, "_PASSED_BYTES", 10 * 3200)
    table = table_cells._OpenTable(str(tmp_path / "a.parquet"), "b")
    order = [40, 3, 39, 5, 4, 63, 0, 20, 19, 1, 38]

    for row in order:
        assert cells[row] == table.read(row)
        assert table._passed_bytes == sum(map(len, table._passed.values())) <= 10 * 3200
        assert len(table._readers) <= table_cells._OPEN_READERS
    with pytest.raises(FileNotFoundError):
        table.read(64)


@pytest.mark.parametrize("url", ["#parquet/no/0", "#parquet/b/9", "#parquet/text/0"])
def test_cells_that_are_not_there(tmp_path, url):
    """Are dead, as any file is."""
    from pipelines.errors import UnreadableMediaError
    from pipelines.fetch.files import read

    pq.write_table(pa.table({"b": [b"x"], "text": ["x"]}), tmp_path / "a.parquet")
    with pytest.raises(UnreadableMediaError) as caught:
        read(parse_location(f"{Path(tmp_path, 'a.parquet').as_uri()}{url}"), 100)
    assert ("dead", "no_such_file") == caught.value.outcome


def test_a_template_of_the_web_escapes_its_fields(tmp_path, plan):
    """As one of this machine does: what ends a path in a URL is a character of the name; a host stays."""
    (tmp_path / "a.csv").write_text("id,h,caption\na#b,h.example:81,one\nc d/e?é,i.example,two\n")
    keys = {"columns": {"id": "id"}}
    rows = plan("a.csv", media="https://{h}/{id}.jpg", **keys)[1]
    assert ["https://h.example:81/a%23b.jpg", "https://i.example/c%20d/e%3F%C3%A9.jpg"] == [
        row["media_url"] for row in rows
    ]
