"""Troubles of lists as a person meets them: what `plan`, `build`, `lookup` and `status` say."""

import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

from tests.commands import echolens, status
from tests.in_process import job_here

ROWS = 6


def write_file(folder, *sources, **keys):
    """Write a dataset's file; its lists are beside it."""
    content = {"name": "a", "root": "root", "contact": "me@a.example", "filter": {"language": None}}
    sources = [{"kind": "table", **source} for source in sources]
    file = folder / "a.yaml"
    file.write_text(yaml.safe_dump({**content, "sources": sources, **keys}, sort_keys=False))
    return file


@pytest.fixture
def pool(tmp_path):
    """Write a list with vectors of eight numbers."""
    rows = [*range(ROWS)]
    table = {"url": [f"http://a.example/{n}.jpg" for n in rows], "caption": [f"bell {n}" for n in rows]}
    pq.write_table(pa.table(table), tmp_path / "pool.parquet")
    np.savez(tmp_path / "pool.npz", v=np.random.default_rng(0).normal(size=(ROWS, 8)).astype(np.float16))
    return tmp_path


def test_a_plan_refuses_the_vectors_that_a_build_refuses(pool):
    """Another list beside them, a family without an encoder, and numbers that its encoder cannot make."""
    listed = {"list": "pool.parquet", "vectors": {"npz": "v", "space": "mine"}}
    (pool / "other.csv").write_text("url,caption\nhttp://a.example/x.jpg,x\n")
    claim = {"npz": {"image": "v", "text": "v"}, "space": "clip"}
    for sources, said in (
        ([listed, {"list": "other.csv"}], "other lists are beside it"),
        ([listed | {"vectors": {"npz": "v", "space": "clip"}}], "names encode.clip, and there is none"),
    ):
        file = write_file(pool, *sources)
        for verb in ("plan", "build"):
            ended = job_here(verb, file, check=False)
            assert (1, True) == (ended.returncode, said in ended.stderr), ended
    file = write_file(pool, listed | {"vectors": claim}, encode={"clip": "pocket", "clap": None})
    ended = echolens("plan", file, check=False)
    assert 1 == ended.returncode
    assert "has 8" in ended.stderr
    assert not (pool / "root").exists()


def test_the_columns_of_a_list_are_named(pool):
    """By `status`, and where `--in` has another name or that of the space."""
    file = write_file(pool, {"list": "pool.parquet", "vectors": {"npz": "v", "space": "mine"}})
    job_here("build", file)
    root = pool / "root"

    assert f"listed_image {ROWS} in space 'mine'" in echolens("status", root).stdout
    assert {"listed_image": "mine"} == status(root)["spaces"]
    for name in ("mine", "listed", "clip-image"):
        said = echolens("lookup", root, "--text", "a bell", "--in", name, check=False).stderr
        assert f"{name!r} is no column; search in one that set 'listed' has: listed_image" in said


# A list of which no row is taken: its content, its keys, the commonest reason and what to do.
LOST = {
    "where": ("url,caption,s\nhttp://a.example/1.jpg,a,1\n", {"where": "s > 2"}, "filtered/where", "`where`"),
    "store": ("url,caption\ns3://b/1.jpg,a\ns3://b/2.jpg,b\n", {}, "store", "`stores: ["),
    "encoding": (b"url,caption\nhttp://a.example/1.jpg,caf\xe9\n", {}, "encoding", "save it as UTF-8"),
    "preset": (
        "url,text,uid\n/x/1.jpg,a,k\n",
        {"preset": "datacomp", "format": "csv"},
        "local_file",
        "or leave preset 'datacomp' out",
    ),
}


@pytest.mark.parametrize("case", LOST)
def test_a_list_of_which_no_row_is_taken_is_said(tmp_path, case):
    """With the commonest reason: by a plan as a warning, and a build does not end as if all were well."""
    content, keys, reason, advice = LOST[case]
    (tmp_path / "a.csv").write_bytes(content.encode() if isinstance(content, str) else content)
    file = write_file(tmp_path, {"list": "a.csv"} | keys, encode=None)
    said = next(line for line in echolens("plan", file).stdout.splitlines() if "none of its" in line)
    assert said.startswith("warning: ")
    assert repr(reason) in said
    assert advice in said
    for _ in range(2):
        built = job_here("build", file, check=False)
        assert 1 == built.returncode
        assert "version 1 of" in built.stderr
        assert f"has not one sample of {built.stdout.split(' rows read')[0].split()[-1]} rows" in built.stderr
    assert built.stderr.count("\n") == 1
    # A refresh of a root that is not there is a build.
    assert 1 == job_here("refresh", file, f"root={tmp_path / 'other'}", check=False).returncode


def test_media_that_changed_are_said(tmp_path):
    """Of files whose hash is another none arrives, and the reason is named."""
    Image.new("RGB", (80, 64), (90, 120, 150)).save(tmp_path / "1.jpg")
    (tmp_path / "a.csv").write_text(f"url,caption,md5\n1.jpg,a bell,{'0' * 32}\n")
    source = {"list": "a.csv", "files": ".", "columns": {"hash": "md5"}}
    built = job_here("build", write_file(tmp_path, source, encode=None), check=False)

    assert 1 == built.returncode
    assert "1 are 'invalid/changed'; see the column of `hash`" in built.stderr


def test_what_would_stop_a_build_is_said_by_a_plan(tmp_path, monkeypatch):
    """All of it: a header that the environment does not have, and no contact."""
    (tmp_path / "a.csv").write_text("url,caption\nhttp://a.example/1.jpg,a bell\n")
    headers = {"a.example": {"Authorization": "Bearer $NO_SUCH_TOKEN"}}
    file = write_file(tmp_path, {"list": "a.csv"}, contact=None, fetch={"headers": headers})
    monkeypatch.delenv("NO_SUCH_TOKEN", raising=False)
    lines = echolens("plan", file).stdout.splitlines()
    said = [line for line in lines if line.startswith("warning: a build would be refused: ")]

    assert ["contact" in said[0], "$NO_SUCH_TOKEN, which the environment does not have" in said[1]] == [
        True
    ] * 2
    assert "NO_SUCH_TOKEN" in echolens("plan", file, "--json").stderr
    monkeypatch.setenv("NO_SUCH_TOKEN", "x")
    assert "NO_SUCH_TOKEN" not in echolens("plan", file, "contact=me@a.example").stdout


def test_vectors_are_added_by_an_override(tmp_path):
    """To a file that says `encode: null`: the encoder that is named, and no other."""
    (tmp_path / "a").mkdir()
    Image.new("RGB", (80, 64), (90, 120, 150)).save(tmp_path / "a/red bell.jpg")
    file = write_file(tmp_path, {"kind": "folder", "list": "a"}, encode=None)
    job_here("build", file)
    job_here("build", file, "encode.clip=pocket")

    assert {"clip_image": 1, "clip_text": 1} == status(tmp_path / "root")["vectors"]
    sets = json.loads((tmp_path / "root/dataset.json").read_text())["sets"]
    assert ["main", "media"] == sorted(sets)
    # Of any key that a file leaves empty.
    file.write_text(file.read_text() + "fetch:\n")
    assert "1 rows read" in echolens("plan", file, "fetch.timeout_s=5").stdout


def test_a_picture_that_asks_stands_as_the_stored_ones(tmp_path):
    """A photograph that EXIF turns is found by itself; as it was stored it finds its pixels, as before."""
    pixels = np.zeros((64, 80, 3), np.uint8)
    pixels[:32, :, 0], pixels[:, :40, 1] = 255, 160
    (tmp_path / "a").mkdir()
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.fromarray(pixels).save(tmp_path / "a/one.jpg", exif=turned, quality=95)
    Image.fromarray(pixels).save(tmp_path / "a/two.jpg", quality=95)
    asks = io.BytesIO()
    Image.fromarray(pixels).save(asks, "JPEG", exif=turned, quality=95)
    (tmp_path / "asks.jpg").write_bytes(asks.getvalue())
    for orientation, found in (("upright", 2), ("as_stored", 1)):
        root = tmp_path / orientation
        keys = {"encode": {"clip": "pocket", "clap": None}, "fetch": {"orientation": orientation}}
        file = write_file(tmp_path, {"kind": "folder", "list": "a"}, root=str(root), **keys)
        job_here("build", file)
        hits = json.loads(echolens("lookup", root, "--image", tmp_path / "asks.jpg", "--json").stdout)
        scores = {hit["url"].rpartition("/")[2]: hit["score"] for hit in hits}
        # As they were stored both are the same pixels, of which the first is kept.
        assert (found, True) == (len(scores), scores["one.jpg"] > 0.99)
    assert scores["one.jpg"] == max(scores.values())
