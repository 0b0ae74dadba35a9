"""The `fetch` part of a dataset's file refuses what cannot be, and keeps its secrets."""

import pytest
from pydantic import ValidationError

from pipelines.store.dataset_file import pin
from pipelines.store.root import Root
from schemas.dataset import Dataset
from schemas.fetch import Fetch, VideoSettings


@pytest.mark.parametrize(
    ("limits", "word"),
    [
        ({"a.example": {}}, "a limit needs one of"),
        ({"a.example": {"connections": 0}}, "greater than or equal to 1"),
        ({"a.example": {"rate": 1}}, "Extra inputs"),
        ({"*": {"connections": 1}}, "a limit is for a host"),
        ({"http://a.example/": {"connections": 1}}, "a limit is for a host"),
        ({"a.example:80": {"connections": 1}}, "a limit is for a host"),
        ({"a.*.example": {"connections": 1}}, "a limit is for a host"),
    ],
)
def test_what_is_no_limit(limits, word):
    """Unknown keys, limits of nothing, and what is no host are refused."""
    with pytest.raises(ValidationError, match=word):
        Fetch(limits=limits)


def test_a_fetch_with_limits_travels():
    """Through JSON, as dataset.json has it, and as a part of the key of a stage."""
    fetch = Fetch(
        limits={"a.example": {"connections": 3}, "*.b.example": {"requests_per_s": 1, "bytes_per_s": "3MB"}}
    )
    again = Fetch.model_validate_json(fetch.model_dump_json())

    assert again == fetch
    assert hash(again) == hash(fetch)


def test_secrets_are_in_no_dump(tmp_path):
    """What says who asks is neither in what is written of a dataset nor in its words."""
    video = {"cookies_file": "/hidden/a", "proxy": "http://me:hidden@b:1", "rate_limit": 77777}
    content = {"name": "a", "root": str(tmp_path), "sources": [{"kind": "audiocaps", "list": "train.csv"}]}
    content["fetch"] = {"video": video | {"player_client": ["hidden"], "site": "https://a/{youtube_id}"}}
    dataset = Dataset.model_validate(content)
    pin(Root.from_url(str(tmp_path)), dataset, {})
    written = (tmp_path / "dataset.json").read_text()

    assert "https://a/{youtube_id}" in written
    for text in (written, dataset.model_dump_json(), str(dataset.model_dump())):
        assert "hidden" not in text
        assert "77777" not in text
    assert "/hidden/a" not in repr(dataset)
    assert "me:hidden" not in repr(dataset)


@pytest.mark.parametrize(
    "site", ["https://a.example/", "ftp://a/{youtube_id}", "https://me:word@a/{youtube_id}", "{youtube_id}"]
)
def test_a_site_that_is_none(site):
    """A page's URL has the id in it, and no secrets."""
    with pytest.raises(ValueError, match="site is an http"):
        VideoSettings(site=site)
