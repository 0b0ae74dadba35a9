"""Captions of the miniature world, read by their words."""

import pytest

from pipelines.errors import ConfigError
from pipelines.evaluate.judges.registry import choose_judge
from pipelines.miniature.caption_reader import read_caption
from pipelines.miniature.captions import caption
from pipelines.miniature.world import draw_heldout


@pytest.mark.parametrize("medium", ["picture", "sound"])
def test_what_a_caption_says_is_read_right(medium):
    """Of 300 held-out scenes, every attribute that is found is the scene's, and the kind nearly always is."""
    scenes = [draw_heldout(0, index) for index in range(300)]
    found = [read_caption(caption(scene, medium, "heldout")) for scene in scenes]
    truth = [
        {"kind": s.kind, "ground": s.background, "size": s.pitch, "count": str(s.count), "colour": s.colour}
        for s in scenes
    ]
    right = {
        name: sum(read[name] == true[name] for read, true in zip(found, truth, strict=True) if read[name])
        / sum(bool(read[name]) for read in found)
        for name in ("kind", "ground", "size", "count")
    }

    assert sum(bool(read["kind"]) for read in found) >= 299
    assert min(right.values()) > 0.9, right
    assert any(read["colour"] for read in found) is (medium == "picture")


def test_only_one_world_has_words():
    """Another is refused; the judge says what it is of."""
    judge = choose_judge("words:miniature").open()

    assert ("text", "words:miniature") == (judge.medium, judge.name)
    assert ["dog", ""] == judge.read_attributes([b"a dog", b"nothing"])["kind"].tolist()
    with pytest.raises(ConfigError, match="words:miniature"):
        choose_judge("words:elsewhere")
