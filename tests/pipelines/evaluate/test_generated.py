"""Which class a sample should have, and how often a judge finds it."""

import pytest

from pipelines.evaluate.generated import count_right, find_class

CLASSES = ("dog", "church bell", "bell")


@pytest.mark.parametrize(
    ("label", "caption", "expected"),
    [
        ("dog", "a church bell", "dog"),
        (None, "A dog, far away.", "dog"),
        (None, "a dog and a bell", None),
        (None, "a hot-dog-stand", "dog"),
        (None, "doggerel", None),
        ("cat", "two cats", None),
    ],
    ids=["label", "caption", "two", "hyphens", "part-of-a-word", "none"],
)
def test_the_class_of_a_row(label, caption, expected):
    """The list's label first, else the only class that the caption names in whole words."""
    assert expected == find_class(("dog", "bell"), label, caption)


def test_accuracy_says_how_many_each_class_had():
    """Two of three right; of nothing there is no accuracy."""
    found = count_right(["dog", "dog", "bell"], ["dog", "church bell", "bell"], CLASSES)

    assert (3, pytest.approx(2 / 3)) == (found.samples, found.accuracy)
    assert {"bell": (1, 1), "dog": (1, 2)} == found.of_class
    assert count_right([], [], CLASSES).accuracy is None
