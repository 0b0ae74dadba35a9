"""A dataset without encoders: media and a version, and vectors when they are wanted."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

from tests.commands import echolens, status
from tests.in_process import job_here


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Build five pictures without captions, of which one is none, with `encode: null`."""
    folder = tmp_path_factory.mktemp("media")
    (folder / "pictures").mkdir()
    rng = np.random.default_rng(0)
    for name in "abcd":
        Image.fromarray(rng.integers(0, 255, (80, 80, 3), np.uint8)).save(
            folder / f"pictures/{name}_bell.png"
        )
    (folder / "pictures/e_bell.png").write_bytes(b"none")
    file = folder / "media.yaml"
    content = {
        "name": "media",
        "root": "root",
        "sources": [{"kind": "folder", "list": str(folder / "pictures")}],
        "encode": None,
    }
    file.write_text(yaml.safe_dump(content))
    job_here("build", file)
    return file


def test_media_and_a_version_are_built(built):
    """As img2dataset would leave them; no vector and no index."""
    root = built.parent / "root"
    manifest = json.loads((root / "versions/0001.json").read_text())

    assert ("media", {}, [], 4) == (
        manifest["set"],
        manifest["vectors"],
        manifest["indices"],
        manifest["outcomes"]["ok"],
    )
    assert {"ok": 4, "invalid": 1} == {name: count for name, count in manifest["outcomes"].items() if count}
    assert 5 == pq.read_table(root / "media/00000.parquet").num_rows
    assert not (root / "indices").exists()


def test_a_second_build_has_nothing_to_do(built):
    """The version stands."""
    before = status(built.parent / "root")
    job_here("build", built)
    assert before == status(built.parent / "root")


def test_what_wants_vectors_says_so(built):
    """One sentence, with the way to get them."""
    ended = job_here("lookup", built.parent / "root", "--text", "a bell", check=False)
    assert 1 == ended.returncode
    assert "was built without encoders and has media alone, no vectors; build it again" in ended.stderr
    assert 1 == len(ended.stderr.strip().splitlines())


def test_vectors_are_added_later(built, tmp_path):
    """By the same command: the media are read where they are, and the first version stays."""
    root = built.parent / "root"
    media = {path.name: path.read_bytes() for path in (root / "media").iterdir()}
    file = tmp_path / "with_vectors.yaml"
    content = yaml.safe_load(built.read_text()) | {
        "root": str(root),
        "encode": {"clip": "pocket", "clap": None},
    }
    file.write_text(yaml.safe_dump(content))
    job_here("build", file)

    assert media == {path.name: path.read_bytes() for path in (root / "media").iterdir()}
    numbers = json.loads(echolens("status", root, "--json").stdout)
    assert {"clip_image": 4, "clip_text": 4} == numbers["vectors"]
    assert [1, 2] == sorted(int(path.stem) for path in (root / "versions").glob("????.json"))


def test_tars_of_a_root_are_a_list(built, tmp_path):
    """The media of a dataset, or of any tool that writes WebDataset, are taken over byte for byte."""
    root = built.parent / "root"
    source = {"kind": "webdataset", "list": str(root / "media")}
    content = {"name": "again", "root": str(tmp_path / "root"), "sources": [source], "encode": None}
    file = tmp_path / "again.yaml"
    file.write_text(yaml.safe_dump(content))
    job_here("build", file)

    def read(folder):
        table = pq.read_table(folder / "media/00000.parquet").to_pylist()
        return sorted(
            (row["caption"], row["sha256"], row["width"]) for row in table if row["outcome"] == "ok"
        )

    assert 4 == len(read(root))
    assert read(root) == read(tmp_path / "root")
