"""What may not get into a set of vectors with families of one's own, nor out of a stranger's root."""

import json
import shutil

import pytest

from tests.commands import echolens
from tests.fixtures.families import TRUST
from tests.in_process import build_world_here, job_here


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        pytest.param(
            "encode.ciap={loader: outside_families:Ciap, seed: 5}", "settings seed=5, not seed=0", id="seed"
        ),
        pytest.param("encode.ciap={loader: outside_families:Upgraded}", "library ciap 2, not", id="class"),
        pytest.param(
            "encode.ciap=null", "no encoder was asked for; name it again, or give the other", id="none"
        ),
        pytest.param(
            "encode.more={loader: outside_families:Ciap}",
            "holds no more_image vectors and outside",
            id="more",
        ),
    ],
)
def test_a_set_keeps_its_encoders(families_world, override, sentence):
    """Neither other settings of a class nor another class nor one more or less get into a set."""
    content = json.loads((families_world.root / "dataset.json").read_text())["dataset"]["encode"]
    own = [f"encode.{key}={json.dumps(content[key])}" for key in ("ciap", "clap_image")]

    refused = job_here("build", families_world.file, *own, override, check=False)

    assert 0 != refused.returncode
    assert sentence in refused.stderr
    assert "another `encode.set`" in refused.stderr


def test_names_that_are_no_columns_are_not_followed(families_world, tmp_path):
    """A root of somebody else may write anything into dataset.json."""
    root = tmp_path / "root"
    shutil.copytree(families_world.root, root, ignore=shutil.ignore_patterns("media", "runs"))
    content = json.loads((root / "dataset.json").read_text())
    content["sets"]["main"]["../../x_image"] = content["sets"]["main"]["ciap_image"]
    (root / "dataset.json").write_text(json.dumps(content))

    refused = echolens("lookup", root, "--text", "a bell", *TRUST, check=False)

    assert "'../../x_image' names no column" in refused.stderr
    assert "bring that file back from where the dataset came" in refused.stderr


def test_a_family_alone_is_not_published_without_media(outside_families, server, tmp_path):
    """Nothing arrives from hosts that may not be asked, and an empty version would hide that."""
    with pytest.raises(AssertionError, match=r"none of \d+ pictures and clips arrived"):
        build_world_here(
            tmp_path,
            40,
            server,
            "encode.clip=null",
            "encode.clap=null",
            "encode.ciap={loader: outside_families:Ciap}",
            "fetch.allow_private_hosts=false",
            "contact=you@example.org",
        )
