"""A translator applied to all vectors of a version, with the command."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from pipelines.maintain import clean
from pipelines.store import versions
from pipelines.store.counts import as_integers
from pipelines.store.root import Root
from pipelines.translate.translated import TranslatedVectors
from tests.commands import digest, echolens, status
from tests.in_process import job_here


@pytest.fixture(scope="module")
def root(root_with_translator, tmp_path_factory) -> Path:
    """A copy, into which these tests write."""
    return shutil.copytree(root_with_translator, tmp_path_factory.mktemp("translated") / "data")


def tables(root):
    return {path.name: path.read_bytes() for path in root.glob("translators/toy/vectors/*/*")}


def test_all_pictures_of_a_version_are_translated(root):
    """One table a shard, found again; the dataset itself stays as it is, and readers see no duplicates."""
    before = digest(root)
    made = json.loads(job_here("translate", root, "toy", "--json").stdout)
    first = tables(root)
    again = json.loads(job_here("translate", root, "toy", "--json").stdout)

    assert made == again
    assert first == tables(root)
    assert ("clip_image", "clap_text", 1) == (made["source"], made["target"], made["version"])
    there = Root.from_url(str(root))
    version = versions.read_version(there)
    keys, vectors = zip(*TranslatedVectors.open(there, "toy", version).read_blocks(), strict=True)
    gone = as_integers(versions.read_removed(there, version.number)["key"])
    assert made["outcomes"]["ok"] == len(np.concatenate(keys)) > 200
    assert not np.isin(np.concatenate(keys), gone).any()
    np.testing.assert_allclose(1, np.linalg.norm(np.concatenate(vectors), axis=1), atol=2e-3)
    assert before == digest(root)
    echolens("status", root, "--verify")
    assert status(root)["version"] == 1


@pytest.mark.slow
@pytest.mark.usefixtures("one_ray")
def test_a_killed_translation_goes_on(root):
    """With a table and what says that all is there taken away, the same bytes come back."""
    echolens("translate", root, "toy", check=False)
    whole = tables(root)
    for path in root.glob("translators/toy/vectors/*/*"):
        if path.suffix == ".json" or path.name == min(whole):
            path.unlink()
    echolens("translate", root, "toy")

    assert whole == tables(root)


def test_vectors_go_to_numpy(root, tmp_path):
    """Row by row the key and its vector; a folder that is there is left alone."""
    job_here("translate", root, "toy", "--npy", tmp_path / "out")
    keys, vectors = (np.load(tmp_path / "out" / f"{name}.npy") for name in ("keys", "vectors"))
    there = Root.from_url(str(root))
    blocks = [*TranslatedVectors.open(there, "toy", versions.read_version(there)).read_blocks()]
    refused = job_here("translate", root, "toy", "--npy", tmp_path / "out", check=False)

    assert (len(keys), np.float16) == (len(vectors), vectors.dtype)
    np.testing.assert_array_equal(np.concatenate([one for one, _ in blocks]), keys)
    np.testing.assert_array_equal(np.concatenate([one for _, one in blocks]).astype(np.float16), vectors)
    assert "is there already and nothing is overwritten" in refused.stderr


def test_a_shard_that_goes_takes_its_translation_along(root):
    """Vectors of media that are purged are traces of them; those of shards that stay are no waste."""
    job_here("translate", root, "toy")
    there = Root.from_url(str(root))
    version = versions.read_version(there)
    shard = next(shard for shard in versions.read_shards(there, version) if shard.kind == "image")
    found = [
        one.path for one in clean.find_traces(there, {shard.number}) if one.path.startswith("translators/")
    ]

    assert [f"{shard.name}.parquet"] == [path.rpartition("/")[2] for path in found]
    assert [] == [one for one in clean.find_garbage(there, [version]) if one.path.startswith("translators/")]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("toys",), "has no translator 'toys'; it has: toy"),
        (("toy", "--column", "clap_text"), "takes vectors of open_clip:"),
        (("toy", "--set", "other"), "has no set 'other'"),
    ],
    ids=["name", "space", "set"],
)
def test_what_cannot_be_translated_is_one_sentence(root, arguments, sentence):
    """And nothing is written."""
    before = tables(root)
    refused = job_here("translate", root, *arguments, check=False)

    assert 1 == refused.returncode
    assert sentence in refused.stderr
    assert before == tables(root)
