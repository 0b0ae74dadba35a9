import itertools
from collections import Counter

import numpy as np

from pipelines.miniature.world import BACKGROUNDS, COLOURS, KINDS, draw, split_of


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
