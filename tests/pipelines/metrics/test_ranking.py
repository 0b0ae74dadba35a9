"""Ranks and precisions whose answers are known."""

import numpy as np
import pytest

from pipelines.metrics.ranking import average_precision, rank_first


def test_ranks_and_precisions_by_hand():
    """Right at places 1 and 3 of four: the first ranks 0, and the precisions are 1 and 2/3 of two."""
    cosines = np.array([[0.9, 0.8, 0.7, 0.1], [0.9, 0.8, 0.8, 0.1]])
    right = np.array([[True, False, True, False], [False, True, False, False]])

    assert [0, 2] == rank_first(cosines, right).tolist()
    assert np.allclose([(1 + 2 / 3) / 2, 1 / 3], average_precision(cosines, right))
    assert 0 == average_precision(cosines[1:], right[1:], depth=2)[0]


def test_any_target_of_a_group_is_right():
    """Five captions a picture: the nearest is mostly another one of the same picture, which is no miss."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(60), 5)
    pictures = rng.standard_normal((60, 32))[groups]
    captions = pictures + 0.3 * rng.standard_normal((300, 32))
    captions /= np.linalg.norm(captions, axis=1, keepdims=True)
    cosines, right = pictures @ captions.T, groups[:, None] == groups[None]

    assert (rank_first(cosines, np.eye(300, dtype=bool)) == 0).mean() == pytest.approx(0.2)
    assert (rank_first(cosines, right) == 0).all()
    assert np.allclose(1, average_precision(cosines, right))


def test_no_number_earns_nothing():
    """A query that is no vector is as far from its own target as from all others."""
    cosines, right = np.full((1, 20), np.nan), np.eye(1, 20, dtype=bool)

    assert [19] == rank_first(cosines, right).tolist()
    assert [0] == average_precision(cosines, right).tolist()


def test_equal_targets_earn_nothing():
    """Where all are as near as the right one, it ranks last: chance is not a hit."""
    cosines, right = np.ones((3, 5)), np.eye(3, 5, dtype=bool)

    assert [4, 4, 4] == rank_first(cosines, right).tolist()
    assert np.allclose(1 / 5, average_precision(cosines, right))
