"""The pocket captioner: the captions that it reads, how it is scored, and what it says of held-out scenes."""

import pytest

from pipelines.encode.loaders.pocket import WEIGHTS
from pipelines.miniature.caption_reader import read_caption
from pipelines.miniature.captions import caption
from pipelines.miniature.world import draw_crossing, draw_heldout
from pipelines.store.root import Root
from pipelines.train.pocket.captioner import PocketCaptioner, select_captions
from pipelines.train.pocket.captioner_eval import evaluate, score_captions
from pipelines.train.trainer import Trainer
from schemas.recipe import Recipe


@pytest.mark.parametrize("medium", ["picture", "sound"])
def test_the_captions_that_it_reads_say_the_most_and_are_true(medium):
    """Of 20 scenes; no caption of the held-out split is among them."""
    for number in range(20):
        scene = draw_crossing("crossing", 0, "train", number)
        chosen = select_captions(scene, medium)
        found = read_caption(chosen[0])

        assert len(chosen) == 3
        assert (found["kind"], found["ground"]) == (scene.kind, scene.background)
        assert found["count"] in ({str(scene.count)} if medium == "picture" else {str(scene.count), ""})
        assert not {*chosen} & {caption(scene, medium, "heldout", variant) for variant in range(8)}


@pytest.mark.parametrize("medium", ["picture", "sound"])
def test_true_captions_score_high_and_those_of_others_at_chance(medium):
    """The references themselves have BLEU 1; what a caption leaves out is wrong."""
    scenes = [draw_heldout(0, number) for number in range(120)]
    true = [caption(scene, medium, "heldout") for scene in scenes]
    own, other = (score_captions(texts, scenes, medium) for texts in (true, true[1:] + true[:1]))

    assert (own["kind"], own["bleu4"]) == (1.0, 1.0)
    assert own["kind_low"] < 1.0 == own["kind_high"]
    assert other["kind"] < 0.15 < own["ground"]
    assert other["cider_d"] < own["cider_d"] / 2
    assert score_captions([""] * 120, scenes, medium)["size"] == 0.0


def test_the_one_that_ships_says_what_is_there():
    """Of 12 held-out scenes, seen and heard; 240 are in the README."""
    scores = evaluate(WEIGHTS / "captioner", 0, 12)

    assert min(scores["picture_kind"], scores["sound_kind"]) > 0.7
    assert min(scores["picture_ground"], scores["sound_ground"]) > 0.7
    assert sum(file.stat().st_size for file in (WEIGHTS / "captioner").iterdir()) < 3_100_000


def test_trained_on_texts_it_meets_no_media(tmp_path):
    """Three vectors of captions a scene, of both families, and the card says so."""
    task = PocketCaptioner(trained_on="texts", scenes=20, width=32, layers=1, heads=2, hidden=8)
    trainer = Trainer(task, Recipe(steps=1, batch=8), Root.from_url(str(tmp_path / "run")), caches=tmp_path)

    assert [len(each.units_ND) for each in task.data] == [60, 60]
    assert trainer.net.card.trained_on == "texts"
    assert not list(tmp_path.glob("crossing*"))
