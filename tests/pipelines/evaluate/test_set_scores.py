"""Distances between sets of files, beside the floor of real halves."""

import numpy as np
import pytest

from pipelines.evaluate.judging import JudgeFindings
from pipelines.evaluate.set_scores import score_set

GROUPS = np.arange(60)


def found(rng, shift=0.0, rows=60, classes=None):
    vectors = (rng.standard_normal((rows, 4)) + shift).astype(np.float32)
    return JudgeFindings(vectors, classes, None, {})


def test_another_law_is_farther_than_real_halves():
    """Every distance stands above its floor; the floors are what the real media themselves score."""
    rng = np.random.default_rng(0)
    real, far = found(rng), found(rng, shift=3)
    floors, distances = score_set(real, real, GROUPS, "sound", 0), score_set(far, real, GROUPS, "sound", 0)

    assert {"fd", "fd_infinity", "kad", "density", "coverage"} == distances.keys() == floors.keys()
    for name in ("fd", "fd_infinity", "kad"):
        assert distances[name].floor == floors[name].estimate
        assert distances[name].estimate.low > floors[name].estimate.high
    assert distances["coverage"].estimate.value < 0.1 < floors["coverage"].estimate.value
    assert "kid" in score_set(far, real, GROUPS, "picture", 0)


def test_few_files_say_that_they_are_few():
    """Below ten rows a dimension the size decides; five have no neighbours, and no distance is given."""
    rng = np.random.default_rng(0)
    enough = score_set(found(rng), found(rng), GROUPS, "sound", 0)
    few = score_set(found(rng, rows=30), found(rng, rows=30), GROUPS[:30], "sound", 0)

    assert (False, True) == (enough["fd"].too_few, few["fd"].too_few)
    assert {} == score_set(found(rng, rows=5), found(rng, rows=5), GROUPS[:5], "sound", 0)


def test_files_that_are_not_there_do_not_count():
    """Rows of NaN are left out of both sides."""
    rng = np.random.default_rng(0)
    real, made = found(rng), found(rng)
    holes = JudgeFindings(np.where(GROUPS[:, None] % 2, made.vectors_ND, np.nan), None, None, {})
    fd = score_set(holes, real, GROUPS, "sound", 0)["fd"].estimate

    assert 30 == fd.n
    assert np.isfinite(fd.value)


def test_sure_and_spread_classes_have_the_highest_inception_score():
    """Four classes, all found alike often: four; one class alone: one."""
    rng = np.random.default_rng(0)
    spread, alike = (np.full((60, 4), -20.0, np.float32) for _ in range(2))
    spread[GROUPS, GROUPS % 4], alike[:, 0] = 20, 20
    real = found(rng)

    scores = [
        score_set(found(rng, classes=logits), real, GROUPS, "sound", 0)["is"].estimate.value
        for logits in (spread, alike)
    ]
    assert [4, 1] == pytest.approx(scores, abs=0.01)
