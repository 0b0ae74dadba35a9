"""Training batches of the pocket CLIP."""

from __future__ import annotations

import numpy as np

from pipelines.miniature import world
from pipelines.train.pocket.clip_data import ClipSampler, match_texts


def test_batches_are_of_the_training_split_and_of_their_step() -> None:
    """The same step gives the same batch; no scene of it belongs to the other split."""
    batch, again, other = (ClipSampler(0, 32, 256).draw_batch(step) for step in (3, 3, 4))
    assert batch.texts == again.texts
    assert batch.pictures.tobytes() == again.pictures.tobytes()
    assert batch.texts != other.texts
    scenes = [world.draw(0, "train", i) for i in range(2000)]
    assert {"train"} == {world.split_of(s.kind, s.colour, s.background) for s in scenes}


def test_workers_share_a_batch() -> None:
    """Their pictures, maps and tints are parts of those of one worker; texts and targets are all there."""
    whole = ClipSampler(0, 32, 256).draw_batch(3)
    halves = [ClipSampler(0, 32, 256).draw_batch(3, rows) for rows in (slice(0, 16), slice(16, 32))]
    assert np.array_equal(whole.pictures, np.concatenate([half.pictures for half in halves]))
    for name in ("maps", "gains"):
        parts = [getattr(half.augmentation, name) for half in halves]
        assert np.array_equal(getattr(whole.augmentation, name), np.concatenate(parts))
    assert all(half.texts == whole.texts for half in halves)
    assert all(np.array_equal(half.targets, whole.targets) for half in halves)


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
