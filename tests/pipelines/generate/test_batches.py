"""Vectors, batches and steps that generators share."""

import numpy as np
import pytest

from pipelines.errors import ConfigError
from pipelines.generate.batches import make_step_count, normalize_vectors, split_batches


def test_vectors_become_units():
    """Whatever their length; directions stay."""
    given = np.array([[3.0, 4.0], [0.0, -0.5]])

    made = normalize_vectors(given, 2, 2, "sound")

    assert np.float32 == made.dtype
    assert np.allclose(made, [[0.6, 0.8], [0.0, -1.0]])


@pytest.mark.parametrize(
    ("vectors", "said"),
    [
        (np.ones((1, 2)), r"was given vectors \[1, 2\] and 2 seeds; it takes a vector of 2 numbers"),
        (np.ones((2, 3)), r"was given vectors \[2, 3\] and 2 seeds; it takes a vector of 2 numbers"),
        (np.array([[1.0, 0.0], [0.0, 0.0]]), "a vector without a direction makes no picture"),
        (np.array([[1.0, 0.0], [np.nan, 0.0]]), "a vector without a direction makes no picture"),
        (np.array([[1.0, 0.0], [np.inf, 0.0]]), "a vector without a direction makes no picture"),
    ],
)
def test_vectors_that_say_nothing_are_refused(vectors, said):
    """Too few, of another space, of no length, or no numbers."""
    with pytest.raises(ConfigError, match=said):
        normalize_vectors(vectors, 2, 2, "picture")


@pytest.mark.parametrize(("count", "batches"), [(0, []), (2, [[0, 1]]), (3, [[0, 1], [2, 2]])])
def test_batches_are_of_one_size(count, batches):
    """The last one is filled with its first row."""
    assert batches == list(split_batches(count, 2))


def test_steps_are_told_up_to_their_total():
    """A batch that is made in halves takes more steps than were announced, and none beyond them is told."""
    told = []
    after_step = make_step_count(2, lambda done, total: told.append((done, total)))

    for _ in range(3):
        after_step()
    make_step_count(2, None)()

    assert [(1, 2), (2, 2), (2, 2)] == told
