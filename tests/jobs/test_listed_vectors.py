"""Vectors that come with a list become a set: nothing is fetched, and it is searched as any other."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from pipelines.encode.resolve import resolve
from pipelines.encode.space_check import CAPTIONS, encode_captions
from pipelines.store import versions
from pipelines.store.root import Root
from pipelines.store.vectors import VectorReader
from schemas.encoders import Encode
from tests.commands import digest, echolens, status
from tests.in_process import job_here

ROWS = 40


def write_list(folder, vectors):
    """Write a list of two files; row 3 has no vector, and row 5 has the URL and caption of row 4."""
    folder.mkdir()
    for number, rows in enumerate(np.split(np.arange(ROWS), 2)):
        named = [4 if row == 5 else row for row in rows.tolist()]
        table = {
            "uid": [f"{row:032x}" for row in rows],
            "url": [f"http://a.example/{row}.jpg" for row in named],
            "text": [CAPTIONS[row] for row in named],
        }
        pq.write_table(pa.table(table), folder / f"{number:02d}.parquet")
        np.savez_compressed(
            folder / f"{number:02d}.npz", **{name: array[rows] for name, array in vectors.items()}
        )


def write_file(folder, vectors, **keys):
    source = {"kind": "table", "preset": "datacomp", "list": "list", "vectors": vectors}
    content = {
        "name": "pool",
        "root": "root",
        "shard_rows": 16,
        "sources": [source],
        "filter": {"language": None},
    }
    file = folder / "pool.yaml"
    file.write_text(yaml.safe_dump(content | keys))
    return file


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    """Build a pool with vectors in a space of their own; return its file and the vectors."""
    folder = tmp_path_factory.mktemp("pool")
    vectors = np.random.default_rng(0).normal(size=(ROWS, 10)).astype(np.float16)
    vectors[3] = 0
    write_list(folder / "list", {"l14_img": vectors})
    file = write_file(folder, {"npz": "l14_img", "space": "openai ViT-L-14"})
    job_here("build", file)
    return file, vectors


def test_a_set_is_built_and_nothing_is_fetched(pool):
    """No contact, no encoder, no media; every row is counted."""
    root = pool[0].parent / "root"
    numbers = status(root)

    assert {"listed_image": ROWS - 2} == numbers["vectors"]
    assert {"ok": ROWS - 2, "invalid/no_vector": 1} == {k: n for k, n in numbers["reasons"].items() if n}
    assert 1 == numbers["duplicates"]
    assert not (root / "media").exists()
    assert (
        "list:openai ViT-L-14"
        == json.loads((root / "dataset.json").read_text())["sets"]["listed"]["listed_image"]["encoder"]
    )


def test_rows_have_the_vectors_of_the_list(pool):
    """By their keys, as unit vectors."""
    root = Root.from_url(str(pool[0].parent / "root"))
    version = versions.read_current(root, "listed")
    reader = VectorReader(root, "listed", versions.read_shards(root, version), np.array([], np.int64))
    rows = {
        row: unit
        for shard in versions.read_shards(root, version)
        for row, unit in zip(
            root.read_table(f"candidates/{shard.name}.parquet")["source_row"].to_pylist(),
            root.read_table(f"vectors/listed/{shard.name}.parquet")["listed_image"].to_pylist(),
            strict=True,
        )
    }

    assert {*range(ROWS)} - {5} == {*rows}
    assert rows.pop(3) is None
    assert ROWS - 2 == len(reader.read_keys("listed_image")[1])
    for row, unit in rows.items():
        raw = pool[1][row].astype(np.float64)
        assert np.array_equal((raw / np.linalg.norm(raw)).astype(np.float16), np.array(unit, np.float16))


def test_it_is_searched_by_key(pool):
    """Its nearest are those of exact search; words have no encoder here, and one sentence says so."""
    root = pool[0].parent / "root"
    units = pool[1].astype(np.float64)
    units = np.delete(units, [3, 5], axis=0)
    units /= np.linalg.norm(units, axis=1, keepdims=True)
    table = [
        (row["source_row"], f"{key:05d}")
        for file in sorted((root / "candidates").glob("*.parquet"))
        for key, row in enumerate(pq.read_table(file).to_pylist(), 100 * int(file.stem))
    ]
    key = next(f"{int(key):07d}" for row, key in table if row == 10)
    found = json.loads(echolens("lookup", root, "--key", key, "--k", "3", "--json").stdout)

    nearest = np.argsort(-(units @ units[8]))[1:4]
    wanted = [[row for row in range(ROWS) if row not in (3, 5)][at] for at in nearest]
    assert [f"http://a.example/{row}.jpg" for row in wanted] == [hit["url"] for hit in found]
    said = echolens("lookup", root, "--text", "a bell", check=False).stderr
    assert "no encoder of this dataset embeds a text" in said


def test_a_second_build_and_a_plan_say_what_there_is(pool):
    """The version stands, the bytes are the same, and the plan names the arrays and the space."""
    root = pool[0].parent / "root"
    before = digest(root)
    job_here("build", pool[0])
    assert (before, 1) == (digest(root), status(root)["version"])
    said = echolens("plan", pool[0]).stdout
    assert (
        "vectors of 10 numbers in space 'openai ViT-L-14' come from the npz beside each file: 'l14_img'"
        in said
    )
    assert "nothing is asked for from the web" in said


def test_captions_are_encoded_into_another_set(pool):
    """Beside the list's vectors, of the same rows, and neither is compared with the other."""
    root = pool[0].parent / "root"
    job_here("build", pool[0], "encode={set: own, clip: pocket, clap: null}")

    assert {"clip_text": ROWS - 1, "clip_image": 0} == status(root)["vectors"]
    assert 4 == len(json.loads(echolens("lookup", root, "--text", "a bell", "--in", "clip_text", "--k", "4",
                                        "--json").stdout))  # fmt: skip
    assert sorted(["listed", "own"]) == sorted(json.loads((root / "dataset.json").read_text())["sets"])


def test_new_rows_come_by_a_refresh(pool):
    """With their vectors; the old ones stay as they are."""
    folder = pool[0].parent
    vectors = np.random.default_rng(5).normal(size=(5, 10)).astype(np.float16)
    table = {
        "uid": [f"new {row}" for row in range(5)],
        "url": [f"http://b.example/{row}.jpg" for row in range(5)],
        "text": ["new"] * 5,
    }
    pq.write_table(pa.table(table), folder / "list/02.parquet")
    np.savez(folder / "list/02.npz", l14_img=vectors)
    before = {path.name: path.read_bytes() for path in (folder / "root/vectors/listed").glob("*.parquet")}
    job_here("refresh", pool[0], "encode={set: listed, clip: null, clap: null}")
    after = {path.name: path.read_bytes() for path in (folder / "root/vectors/listed").glob("*.parquet")}

    assert before == {name: after[name] for name in before}
    assert len(before) < len(after)
    assert {"listed_image": ROWS + 3} == status(folder / "root")["vectors"]


def test_a_claim_makes_them_ours(tmp_path):
    """Vectors of captions show that they are of the encoder; then words search the pictures' vectors."""
    spec = resolve(Encode(clip="pocket", clap=None))["clip"]
    texts = encode_captions(spec, CAPTIONS[:ROWS])
    write_list(tmp_path / "list", {"t": 2 * texts, "i": texts})
    encode = {"set": "ours", "clip": "pocket", "clap": None}
    vectors = {"npz": {"image": "i", "text": "t"}, "space": "clip"}
    file = write_file(tmp_path, vectors, encode=encode)
    job_here("build", file)

    root = tmp_path / "root"
    assert {"clip_image": ROWS - 1, "clip_text": ROWS - 1} == status(root)["vectors"]
    hits = json.loads(echolens("lookup", root, "--text", CAPTIONS[7], "--k", "1", "--json").stdout)
    assert "http://a.example/7.jpg" == hits[0]["url"]

    np.savez(tmp_path / "list/00.npz", i=texts[: ROWS // 2], t=-texts[: ROWS // 2])
    ended = job_here("build", file, "root=" + str(tmp_path / "other"), check=False)
    assert "claim one space, but the mean cosine of 20 captions is -0.99" in ended.stderr
    assert 1 == len(ended.stderr.strip().splitlines())
    assert not (tmp_path / "other/dataset.json").exists()
