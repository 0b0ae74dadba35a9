import itertools
from collections import Counter

import numpy as np

from pipelines.miniature.lists import scene_of
from pipelines.miniature.rows import row_at
from pipelines.miniature.world import (
    BACKGROUNDS,
    COLOURS,
    KINDS,
    PITCHES,
    crossing_split,
    draw,
    draw_crossing,
    draw_heldout,
    split_of,
)


def test_a_scene_is_drawn_from_its_numbers_alone():
    """The same seed, split and index are the same scene; another of the three is another scene."""
    scene = draw(7, "train", 3)

    assert scene == draw(7, "train", 3)
    assert len({scene, draw(8, "train", 3), draw(7, "heldout", 3), draw(7, "train", 4)}) == 4


def test_the_splits_share_no_combination():
    """One combination of kind, colour and background in five is held out, and each kind has some."""
    every = list(itertools.product(KINDS, COLOURS, BACKGROUNDS))
    held_out = Counter(each[0] for each in every if split_of(*each) == "heldout")
    scenes = [draw(0, split, index) for split in ("train", "heldout") for index in range(200)]

    assert 0.15 < held_out.total() / len(every) < 0.25
    assert set(KINDS) == set(held_out)
    assert ["train"] * 200 + ["heldout"] * 200 == [
        split_of(scene.kind, scene.colour, scene.background) for scene in scenes
    ]


def test_purposes_have_streams_of_their_own():
    """A picture is the same whether or not its sound was made before."""
    scene = draw(0, "train", 0)

    assert np.array_equal(scene.rng("picture").random(4), scene.rng("picture").random(4))
    assert not np.array_equal(scene.rng("picture").random(4), scene.rng("sound").random(4))


def test_one_crossing_combination_in_five_is_held_out():
    """The same number of each kind, background and pitch; of every two attributes no pair is lost."""
    every = list(itertools.product(KINDS, BACKGROUNDS, PITCHES))
    held_out = [each for each in every if crossing_split(*each) == "heldout"]
    trained = set(every) - set(held_out)

    assert 87 == len(held_out)
    for attribute, most in ((0, 1), (1, 1), (2, 0)):
        counts = Counter(each[attribute] for each in held_out).values()
        assert max(counts) - min(counts) <= most
    for two in itertools.combinations(range(3), 2):
        assert {tuple(each[i] for i in two) for each in every} == {
            tuple(each[i] for i in two) for each in trained
        }


def test_scenes_of_evaluation_are_held_out_by_both_rules():
    """Each kind has some, and nothing of them is in a training scene of what crosses."""
    trained = [draw_crossing("crossing", 0, "train", index) for index in range(400)]
    scored = [draw_heldout(0, index) for index in range(400)]

    for split, scenes in (("train", trained), ("heldout", scored)):
        assert {(split, split)} == {
            (split_of(s.kind, s.colour, s.background), crossing_split(s.kind, s.background, s.pitch))
            for s in scenes
        }
        assert set(KINDS) == {scene.kind for scene in scenes}
    assert 400 == len(set(scored))


def test_no_scene_of_a_list_is_trained_or_scored_on():
    """Lists have a stream of their own, of combinations that may be trained on: none of them is unseen."""
    listed = {scene_of(seed, row_at(index)) for seed in (0, 1) for index in range(2000)}
    pocket = {
        draw(seed, split, index) for seed in (0, 1) for split in ("train", "heldout") for index in range(6000)
    }
    scored = {draw_heldout(seed, index) for seed in (0, 1) for index in range(1000)}
    crossed = {draw_crossing("crossing", seed, "train", index) for seed in (0, 1) for index in range(1000)}

    assert not listed & (pocket | scored | crossed)
    assert {("train", "train")} == {
        (split_of(s.kind, s.colour, s.background), crossing_split(s.kind, s.background, s.pitch))
        for s in listed
    }
    seen = {(s.kind, s.background, s.pitch) for s in listed}
    assert not seen & {(s.kind, s.background, s.pitch) for s in scored}
