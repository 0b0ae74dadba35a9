"""Rank and z forms, and cosines, of vectors whose answers are known."""

import numpy as np
import pytest

from pipelines.metrics import bootstrap
from pipelines.metrics.alignment import cosine_of_pairs, rank_form, z_form


def draw(seed, count=300, dims=32):
    vectors = np.random.default_rng(seed).standard_normal((count, dims))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_an_item_that_is_its_pair_beats_all_others():
    """Rank 1, however many others there are; random vectors rank at a half."""
    own = np.eye(8)
    assert np.all(rank_form(own, own, -own) == 1)
    chance = bootstrap.mean(rank_form(draw(0), draw(1), draw(2)))

    assert chance.low < 0.5 < chance.high


def test_others_of_the_own_group_and_ties_do_not_count():
    """The paired item may lie among the others: it is left out by its group, and as a tie it counts 0."""
    own = np.eye(3)
    groups = np.arange(3)

    assert np.allclose([1, 1, 1], rank_form(own, own, own, groups, groups))
    assert np.allclose([2 / 3] * 3, rank_form(own, own, own))
    assert np.isnan(rank_form(own[:1], own[:1], own[:1], groups[:1], groups[:1])).all()


def test_the_z_form_by_hand():
    """Cosines 1, 0 and 0.6 of one sound: the others have mean 0.3 and deviation 0.3, so (1 - 0.3) / 0.3."""
    made = np.array([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])
    sounds = np.array([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])
    found = z_form(made, sounds)

    assert 0.7 / 0.3 == pytest.approx(found[0])
    assert np.isnan(z_form(made[:2], sounds[:2])).all()


def test_the_z_form_of_chance_is_nought():
    """And pictures of one sound's group are no others of it."""
    chance = bootstrap.mean(z_form(draw(0), draw(1)))
    assert chance.low < 0 < chance.high
    # Two pictures a sound: with groups, the twin is no competitor.
    made = np.repeat(draw(3, 20), 2, axis=0)
    groups = np.repeat(np.arange(20), 2)

    assert z_form(made, made, groups).mean() > z_form(made, made).mean()


def test_cosines_of_vectors_of_any_length():
    """What a judge could not decode is NaN, and does not count in a mean."""
    one, other = (
        np.array([[3.0, 0.0], [1.0, 1.0], [np.nan] * 2]),
        np.array([[2.0, 0.0], [0.0, 5.0], [1.0, 0.0]]),
    )
    found = cosine_of_pairs(one, other)

    assert np.allclose([1, np.sqrt(0.5)], found[:2])
    assert 2 == bootstrap.mean(found).n
