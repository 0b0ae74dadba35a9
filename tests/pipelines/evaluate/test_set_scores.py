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


def test_groups_of_all_sizes_can_be_resampled():
    """Eleven files of two groups, ten and one: a resample may hold two, which have no five neighbours."""
    rng = np.random.default_rng(0)
    groups = np.array([0] * 10 + [1])
    real, made = found(rng, rows=11), found(rng, rows=11)
    scores = score_set(made, real, groups, "sound", 0)
    three = score_set(real, real, np.array([0] * 28 + [1, 2]), "sound", 0)

    assert {"fd", "fd_infinity", "kad"} == scores.keys()
    assert 2 == scores["fd"].estimate.groups
    assert not three.keys() & {"density", "coverage"}


def test_shares_have_intervals_of_shares():
    """Nearly all real files are covered: the interval of that share ends at one."""
    rng = np.random.default_rng(0)
    coverage = score_set(found(rng, rows=16), found(rng, rows=16), GROUPS[:16], "sound", 0)[
        "coverage"
    ].estimate

    assert 0 <= coverage.low < coverage.value <= coverage.high <= 1


def test_real_media_are_never_their_own_neighbours():
    """Fewer than a floor needs: what covers itself says nothing, and is not said."""
    rng = np.random.default_rng(0)
    real = found(rng, rows=16)

    assert not score_set(real, real, GROUPS[:16], "sound", 0).keys() & {"density", "coverage"}
    assert score_set(found(rng, rows=16), real, GROUPS[:16], "sound", 0)["coverage"].floor is None


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
