"""Retrieval by shared labels whose answers are known."""

import numpy as np
import pytest

from pipelines.metrics.ranking import average_precision
from pipelines.metrics.shared_labels import average_precision_of_all, encode_labels, share_label

NAMES = ("bark", "howl", "rain")


def test_a_shared_label_is_right_whatever_the_others_are():
    """By hand; an item without labels shares none, not even with itself."""
    encoded = encode_labels([{"bark", "howl"}, {"howl", "rain"}, {"rain"}, set()], NAMES)

    assert [[1, 1, 0], [0, 1, 1], [0, 0, 1], [0, 0, 0]] == encoded.tolist()
    assert [
        [True, True, False, False],
        [True, True, True, False],
        [False, True, True, False],
        [False] * 4,
    ] == share_label(encoded, encoded).tolist()


def test_precision_of_a_whole_ranking_by_hand():
    """Right at places 1, 3 and 4 of four: (1 + 2/3 + 3/4) / 3; wrong ones lead among equals."""
    right = np.array([[True, False, True, True]])

    assert [(1 + 2 / 3 + 3 / 4) / 3] == pytest.approx(
        average_precision_of_all(np.array([[0.9, 0.8, 0.7, 0.1]]), right)
    )
    assert [(1 / 2 + 2 / 3 + 3 / 4) / 3] == pytest.approx(average_precision_of_all(np.ones((1, 4)), right))


def test_no_vector_and_no_right_target_have_no_precision():
    """Nothing is found by what is no number, and nothing where nothing is right."""
    assert [0] == average_precision_of_all(np.full((1, 3), np.nan), np.ones((1, 3), bool)).tolist()
    assert [0] == average_precision_of_all(np.ones((1, 3)), np.zeros((1, 3), bool)).tolist()


def test_it_is_the_precision_of_every_depth():
    """As the one that stops at a depth, where that is the whole gallery."""
    rng = np.random.default_rng(0)
    cosines, right = rng.standard_normal((40, 60)).round(1), rng.random((40, 60)) < 0.2
    right[:, 0] = True

    assert average_precision(cosines, right, depth=60) == pytest.approx(
        average_precision_of_all(cosines, right)
    )
