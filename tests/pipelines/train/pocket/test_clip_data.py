"""Training batches of the pocket CLIP."""

from __future__ import annotations

import numpy as np

from pipelines.miniature import world
from pipelines.train.pocket.clip_data import ClipSampler, ClipSizes, match_texts

SMALL = ClipSizes(batch=32, draws=256, checkpoint_every=5)


def test_batches_are_of_the_training_split_and_of_their_step() -> None:
    """The same step gives the same batch; no scene of it belongs to the other split."""
    batch, again, other = (ClipSampler(0, SMALL).draw_batch(step) for step in (3, 3, 4))
    assert batch.texts == again.texts
    assert batch.pictures.tobytes() == again.pictures.tobytes()
    assert batch.texts != other.texts
    scenes = [world.draw(0, "train", i) for i in range(2000)]
    assert {"train"} == {world.split_of(s.kind, s.colour, s.background) for s in scenes}


def test_a_picture_fits_a_text_by_what_the_text_tells() -> None:
    """Kinds exclude each other; each told attribute that differs leaves a third."""
    bell = world.Scene("bell", 1, "red", "low", "meadow", 0)
    scenes = [
        bell,
        world.Scene("bell", 2, "red", "high", "meadow", 0),
        world.Scene("dog", 1, "red", "low", "meadow", 0),
    ]
    told = np.array([[True] * 4, [False, True, False, False], [True] * 4])
    expected = [[1, 1 / 3, 0], [1 / 9, 1, 0], [0, 0, 1]]
    assert np.allclose(expected, match_texts(scenes, told))
