"""Lists of the Hugging Face Hub, without the hub."""

import sys

import pytest

from pipelines.errors import ConfigError, ListError
from pipelines.source.hub_lists import describe_revision, pin_revision


@pytest.mark.parametrize("place", ["/a/b.parquet", "s3://bucket/a.csv", "https://a.example/a.csv"])
def test_other_places_stay_as_they_are(place):
    """Nobody is asked."""
    assert (place, []) == (pin_revision(place), describe_revision(place))


def test_without_its_library_one_sentence_says_so(monkeypatch):
    """And what to do."""
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ConfigError, match="huggingface_hub is not installed; install it, or"):
        pin_revision("hf://datasets/owner/absent/a.parquet")


def test_a_hub_that_is_out_of_reach_is_one_sentence():
    """Tests ask nobody (HF_HUB_OFFLINE); a place that names no repository is no better."""
    for place in ("hf://datasets/owner/name/a.parquet", "hf://one"):
        with pytest.raises(ListError, match=r"cannot be read .*check its name and revision") as error:
            pin_revision(place)
        assert "\n" not in str(error.value)
