"""A root that an earlier version of this code wrote: today's code opens, answers, refreshes and cleans it."""

import asyncio
import base64
import json
import shutil
import tarfile

import fsspec
import pyarrow.parquet as pq
import pytest

from jobs.shared.job import load
from pipelines.miniature.media import picture_file
from pipelines.miniature.world import draw
from pipelines.serve.replica import SearchReplica
from pipelines.serve.settings import ServiceSettings
from pipelines.store.root import Root
from pipelines.store.versions import list_numbers
from schemas.query import Query
from tests.commands import HOME, digest, echolens, status
from tests.in_process import job_here

KEPT = HOME / "tests" / "data" / "root_2188a47"
# What the code that wrote it said of it.
DIGEST = "ee586fde83a1bc0dbd6fd3f367bc7caf9c37f4e154e41817435518c5cf302550"
BELL, BIRD, DOOR, TYPEWRITER = "0000200", "0000201", "0000000", "0000001"
TRANSLATOR = "words-mlp-cosine-h1"
MEDIA = "/media"


@pytest.fixture
def folder(tmp_path):
    """A copy of it and its dataset's file, and the media that the file lists."""
    shutil.copytree(KEPT, tmp_path / "old")
    memory = fsspec.filesystem("memory")
    for table in sorted((tmp_path / "old" / "root" / "media").glob("*.parquet")):
        with tarfile.open(table.with_suffix(".tar")) as tar:
            for row in pq.read_table(table, columns=["key", "url"]).to_pylist():
                name = f"{row['key']}.{row['url'].rpartition('.')[2]}"
                memory.pipe_file(row["url"], tar.extractfile(name).read())
    yield tmp_path / "old"
    memory.rm(MEDIA, recursive=True)


@pytest.fixture
def root(folder):
    """The root alone."""
    return folder / "root"


@pytest.fixture
def file(folder):
    """The dataset's file."""
    return folder / "dataset.yaml"


def media(root, key):
    """Return the path of a file with the medium of a row as the root holds it."""
    table = root / "media" / f"{int(key) // 100:05d}.tar"
    with tarfile.open(table) as tar:
        name = next(name for name in tar.getnames() if name in (f"{key}.jpg", f"{key}.flac"))
        tar.extract(name, root.parent, filter="data")
    return root.parent / name


def vectors(root):
    """Return all vectors of the root: key -> column -> vector."""
    tables = [pq.read_table(path) for path in sorted((root / "vectors" / "main").glob("*.parquet"))]
    columns = ("clip_image", "clip_text", "clap_audio", "clap_text")
    return {
        row["key"]: {column: row.get(column) for column in columns}
        for table in tables
        for row in table.to_pylist()
    }


def found(root, *question):
    """Return the keys and the scores that a lookup finds, nearest first."""
    hits = json.loads(echolens("lookup", root, *question, "--json").stdout)
    return {hit["key"]: hit["score"] for hit in hits}


def test_it_opens(root):
    """Its counts, its digest and both of its versions are what its own code said; every file is whole."""
    state = status(root)

    assert DIGEST == digest(root)
    assert (2, 6, 1) == (state["version"], state["candidates"], state["unlisted"])
    assert {"ok": 6} == state["outcomes"]
    assert {"clap_audio": 2, "clap_text": 6, "clip_image": 2, "clip_text": 6} == state["vectors"]
    assert "every file of 2 versions is whole" in echolens("status", root, "--verify").stdout
    changed = json.loads(echolens("status", root, "--changes", 1, 2, "--json").stdout)
    assert [5, 6] == list(changed["candidates"])


def test_it_is_looked_up(root):
    """By words, a picture, a sound and a key the rows are found that its own code found, as near."""
    assert {BELL: 0.667, BIRD: 0.024} == pytest.approx(found(root, "--text", "a bell"), abs=2e-3)
    typewriter = found(root, "--text", "a typewriter", "--in", "clap_audio")
    assert {TYPEWRITER: 0.402, DOOR: 0.329} == pytest.approx(typewriter, abs=2e-3)
    assert [BELL, BIRD] == list(found(root, "--text", "a bell"))
    bird = found(root, "--image", media(root, BIRD))
    assert (BIRD, pytest.approx(1, abs=1e-3)) == next(iter(bird.items()))
    door = found(root, "--audio", media(root, DOOR))
    assert (DOOR, pytest.approx(1, abs=1e-3)) == next(iter(door.items()))
    assert [TYPEWRITER] == list(found(root, "--key", DOOR, "--in", "clap_audio"))
    words = ("--text", "the sound of a locomotive", "--in", "clap_text")
    assert "0000102" not in found(root, *words)  # of the caption that went
    via = found(root, "--text", "a bell", "--via", TRANSLATOR, "--in", "clap_audio")
    assert {TYPEWRITER: -0.068, DOOR: -0.088} == pytest.approx(via, abs=2e-3)


def test_a_service_answers_from_it(root, tmp_path):
    """A replica opens it, says what it holds, answers a picture, and gives the row's own media and text."""
    replica = SearchReplica(load(str(root)), ServiceSettings(), tmp_path / "metrics")
    picture = media(root, BELL).read_bytes()

    async def ask():
        hits = (await replica.answer(Query(image=base64.b64encode(picture)))).hits
        return (
            hits,
            await replica.describe(),
            await replica.read_media(BELL),
            await replica.read_rows([int(BELL)]),
        )

    hits, about, (data, kind), (row,) = asyncio.run(ask())
    assert BELL == hits[0].key
    assert (2, [2, 1]) == (about.version, [version.number for version in about.versions])
    assert [TRANSLATOR] == [card.name for card in about.translators]
    assert (picture, "image/jpeg") == (data, kind)
    assert "a bell" == row["caption"]


def test_a_refresh_with_nothing_new_changes_nothing(file, root):
    """Nor does a second build; no file of it is written anew."""
    before = {path: path.read_bytes() for path in root.rglob("*") if path.suffix in (".parquet", ".tar")}

    assert "refresh: nothing new" in job_here("refresh", file).stderr
    job_here("build", file)
    assert before == {
        path: path.read_bytes() for path in root.rglob("*") if path.suffix in (".parquet", ".tar")
    }
    assert ([1, 2], DIGEST) == (list_numbers(Root.from_url(str(root))), digest(root))


def test_a_refresh_brings_in_what_is_new(file, root):
    """One more picture is the next version; the rows that were there keep their keys and vectors."""
    before = vectors(root)
    fsspec.filesystem("memory").pipe_file(f"{MEDIA}/a_drum.jpg", picture_file(draw(7, "train", 4)))

    assert "refresh: 1 new" in job_here("refresh", file).stderr
    assert (3, 7, {"ok": 7}) == tuple(status(root)[name] for name in ("version", "candidates", "outcomes"))
    after = vectors(root)
    assert ["0000300"] == sorted(set(after) - set(before))
    assert before == {key: after[key] for key in before}
    new = found(root, "--image", media(root, "0000300"))
    assert ("0000300", {BELL, BIRD}) == (next(iter(new)), set(new) - {"0000300"})
    assert "every file of 3 versions is whole" in echolens("status", root, "--verify").stdout


def test_it_is_cleaned(root):
    """Of its first version the indices go; the current one stays as it was, and a purge takes a row out."""
    said = echolens("clean", root, "--keep", 1, "--yes").stdout

    assert "indices/main/0001/clap_text.faiss" in said
    assert not (root / "versions" / "0001.json").exists()
    assert (DIGEST, 2) == (digest(root), status(root)["version"])
    assert [BELL, BIRD] == list(found(root, "--text", "a bell"))
    echolens("clean", root, "--purge", BELL, "--yes")
    # What is left of a shard is another shard.
    assert ["0000301"] == list(found(root, "--text", "a bell"))
    assert not (root / "media" / "00002.tar").exists()
