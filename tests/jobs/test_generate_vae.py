"""`echolens generate --generator vae`: of nothing, of a class, around a row, and between two rows."""

import json
import shutil

import pyarrow.parquet as pq
import pytest

from tests.commands import HOME
from tests.in_process import job_here

KEPT = HOME / "tests" / "data" / "root_2188a47"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A copy of a small root: two pictures, two sounds, captions."""
    return shutil.copytree(KEPT / "root", tmp_path_factory.mktemp("media") / "root")


@pytest.fixture(scope="module")
def sounds(root):
    """The keys of the two sounds."""
    found = []
    for path in sorted((root / "media").glob("*.parquet")):
        table = pq.ParquetFile(path).read()
        found += [
            row["key"]
            for row in table.to_pylist()
            if row["outcome"] == "ok" and row.get("sound_s") is not None
        ]
    assert len(found) >= 2
    return found


def generate(root, *given, check=True):
    return job_here("generate", root, "--generator", "vae", *given, check=check)


def read(root, name):
    card = json.loads((root / "generated" / name / "card.json").read_text())
    rows = [row for path in sorted((root / "generated" / name).glob("*.parquet"))
            for row in pq.ParquetFile(path).read().to_pylist()]  # fmt: skip
    return card, rows


def test_a_class_is_sampled_from_the_prior(root):
    """Each sample has a seed of its own, whatever the shards."""
    generate(root, "--samples", 3, "--class", "dog", "--name", "dogs", "--length-s", 1.28)
    generate(
        root, "--samples", 3, "--class", "dog", "--name", "dogs2", "--length-s", 1.28, "--shard-samples", 2
    )
    (card, rows), (_, again) = read(root, "dogs"), read(root, "dogs2")

    assert (3, "dog", {"ok": 3}) == (card["samples"], card["wanted"]["params"]["label"], card["outcomes"])
    assert ["prior"] * 3 == [row["prompt"] for row in rows]
    assert 3 == len({row["sha256"] for row in rows})
    assert [row["sha256"] for row in rows] == [row["sha256"] for row in again]


def test_rows_are_varied_and_joined(root, sounds):
    """Their sounds are encoded once, by the command; an interpolation is one file."""
    generate(root, "--samples", 2, "--like", sounds[0], "--name", "like", "--length-s", 1.28)
    generate(root, "--samples", 1, "--between", *sounds[:2], "--name", "way", "--param", "points=3")
    like, way = read(root, "like")[0], read(root, "way")[0]

    assert 32 == len(like["wanted"]["params"]["anchors"][0])
    assert [*sounds[:2]] == way["wanted"]["params"]["between"]
    assert like["wanted"]["params"]["anchors"][0] == way["wanted"]["params"]["anchors"][0]
    assert 1 == way["samples"]
    assert way["length_s"] == pytest.approx(3 * 1.28)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--samples", 1, "--class", "cow"), "this VAE has never heard --class 'cow'"),
        (("--samples", 1, "--like", "0000200"), "has no sound; it is of the kind image"),
        (("--samples", 1, "--between", "0000200", "0000201"), "has no sound; it is of the kind image"),
        (("--samples", 1, "--like", "99999999"), "no row has the key '99999999'"),
        (("--samples", 1, "--like", "x"), "like: "),
        ((), "reads nothing; say with --samples N"),
        (("--text", "a dog"), "reads nothing; leave --text out and give --samples N"),
        (("--samples", 1, "--generator", "vae:none"), "none"),
    ],
)
def test_what_cannot_be_made_is_one_sentence(root, given, said):
    """Before anything is written."""
    refused = generate(root, *given, "--name", "refused", check=False)

    assert 1 == refused.returncode
    assert said in refused.stderr
    assert 1 == len(refused.stderr.strip().splitlines())
    assert not (root / "generated" / "refused").exists()
