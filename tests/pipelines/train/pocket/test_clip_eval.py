"""Scores of the pocket CLIP in the repository, and how its pictures are compressed before."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipelines.miniature import world
from pipelines.miniature.pictures import picture
from pipelines.train.pocket import clip
from pipelines.train.pocket.clip_eval import _compress, evaluate

WEIGHTS = Path(clip.__file__).parents[2] / "miniature" / "weights" / "clip"


def test_pictures_are_scored_as_a_dataset_stores_them() -> None:
    """Two JPEGs later the shorter side has 256 px, with the same aspect ratio and nearly the same colours."""
    drawn = picture(world.draw(0, "heldout", 0))

    stored = _compress(drawn)

    height, width = drawn.shape[:2]
    assert min(stored.shape[:2]) == 256
    assert stored.shape[1] / stored.shape[0] == pytest.approx(width / height, rel=0.01)
    assert np.abs(stored.mean((0, 1)) - drawn.mean((0, 1))).max() < 3


@pytest.mark.slow
def test_the_committed_weights_find_the_right_kind() -> None:
    """On held-out draws and templates, both ways, through open_clip's own loader."""
    scores = evaluate(WEIGHTS, seed=5, rows=400)
    assert scores["text_to_image_r1"] > 0.9
    assert scores["image_to_text_r1"] > 0.9
    assert scores["text_to_image_top10"] > 0.85
    assert scores["image_to_text_top10"] > 0.85
    assert scores["mean_colour"] < 0.5
    assert scores["pixels_8x8"] < 0.5
