"""Divergences and inception scores of known probabilities."""

import numpy as np
import pytest

from pipelines.metrics.probabilities import count_splits, inception_score, kl, sigmoid, softmax


def test_kl_of_known_probabilities():
    """A certain class against a fair coin is log 2; two equal distributions are nought apart."""
    certain, fair = np.array([[1.0, 0.0]]), np.array([[0.5, 0.5]])

    assert np.log(2) == pytest.approx(kl(certain, fair), abs=1e-4)
    assert 0 == kl(fair, fair)
    # Of the real given the made: a maker that rules out what is real pays the most.
    assert kl(fair, certain) > kl(certain, fair)


@pytest.mark.parametrize(
    ("probabilities", "expected"),
    [
        pytest.param(np.tile(np.eye(5), (4, 1)), 5, id="each-class-as-often"),
        pytest.param(np.full((20, 5), 0.2), 1, id="undecided"),
        pytest.param(np.tile(np.eye(5)[0], (20, 1)), 1, id="one-class-only"),
    ],
)
def test_inception_score_of_known_probabilities(probabilities, expected):
    """From 1 to the number of classes."""
    assert expected == pytest.approx(inception_score(probabilities), rel=1e-4)


def test_few_items_are_one_split():
    """240 sounds of 24 kinds, all right: 24 in one split and below 16 in ten, whatever their order."""
    right = np.repeat(np.eye(24), 10, axis=0)

    assert 1 == count_splits(240, 24)
    assert 10 == count_splits(2400, 24) == count_splits(10**6, 24)
    assert 24 == pytest.approx(inception_score(right, count_splits(len(right), 24)), rel=1e-3)
    assert inception_score(right, 10) < 16


def test_probabilities_of_logits():
    """A thousand is no overflow; independent classes do not add up to one."""
    assert np.allclose([[1, 0]], softmax(np.array([[1000.0, 0.0]])))
    assert np.allclose([[0.5, 0.731058]], sigmoid(np.array([[0.0, 1.0]])))
