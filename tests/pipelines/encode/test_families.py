"""Encoders of families and joining columns from outside: the kit takes them, and what is wrong is refused."""

import pytest

from pipelines.encode.resolve import resolve
from pipelines.errors import EcholensError
from schemas.encoders import Encode
from tests.in_process import job_here


def test_the_kit_takes_what_says_what_it_embeds(outside_families, clap_space):
    """Two towers of a family without texts, one of a joining column; a class without towers is refused."""
    tower = ("--encoder", "outside_families:Tower", f"joins={clap_space.identity}", f"dims={clap_space.dims}")

    assert "audio: " in job_here("doctor", "--encoder", "outside_families:Ciap").stdout
    assert "image: " in job_here("doctor", *tower).stdout
    refused = job_here("doctor", "--encoder", "outside_families:Silent", check=False)
    assert 0 != refused.returncode
    assert "towers of nothing, and a class without `modalities` has those of clip or clap" in (
        refused.stdout + refused.stderr
    )


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        pytest.param({"clap": None}, r"encode\.clap_image joins clap, and encode\.clap is null", id="null"),
        pytest.param(
            {"clap_image": {"joins": "0" * 64}}, r"encode\.clap_image joins the space 0{64}, and", id="other"
        ),
        pytest.param(
            {"ciap": {"loader": "outside_families:Ciap"}, "ciap_image": {"loader": "outside_families:Ciap"}},
            r"encode\.ciap fills ciap_image by itself, and encode\.ciap_image would fill it, too",
            id="twice",
        ),
        pytest.param(
            {"clap_image": {"joins": 5}},
            r"Tower refuses what was given \(joins: Input should be a valid string, and is 5\)",
            id="number",
        ),
        pytest.param(
            {"clap_image": {"joins": None}},
            r"encode\.clap_image: .*joins: Input should be a valid string, and is None",
            id="none",
        ),
        pytest.param(
            {"ciap": {"loader": "outside_families:Silent"}},
            r"encode\.ciap: Silent does not say what it embeds \(modalities is None\); give the class",
            id="modalities",
        ),
    ],
)
def test_what_does_not_belong_together_is_refused(outside_families, clap_space, changed, sentence):
    """Before anything is fetched, in one sentence."""
    tower = {"loader": "outside_families:Tower", "joins": clap_space.identity, "dims": clap_space.dims}
    content = {"clip": None, "clap": "pocket", "clap_image": tower}
    content |= {
        key: {**tower, **value} if key == "clap_image" and value else value for key, value in changed.items()
    }
    encode = Encode.model_validate(content)
    encode = encode.trust(f"outside_families:{name}" for name in ("Ciap", "Tower", "Silent"))

    with pytest.raises(EcholensError, match=sentence):
        resolve(encode)
