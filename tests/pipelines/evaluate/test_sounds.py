"""Which class a sound should be heard as, and how often it is."""

import numpy as np
import pytest

from pipelines.evaluate.generated import find_class as expected_class
from pipelines.evaluate.sounds import DecodedSound, classify

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
    assert expected == expected_class(("dog", "bell"), label, caption)


class FirstSample:
    """Hears the class whose number is the first sample."""

    name, sampling_rate_hz, resampler = "first sample", 16_000, "none"

    def listen(self, sounds, sampling_rate_hz):
        numbers = [int(sound[0]) for sound in sounds]
        return np.zeros((len(sounds), 1)), np.eye(3)[numbers]


def test_accuracy_is_of_sounds_whose_class_is_known():
    """Two of three right; a fourth does not count, and every class says how many it had."""
    given = [("dog", 0), ("dog", 1), ("bell", 2), (None, 0)]
    sounds = [DecodedSound({}, np.array([number]), name) for name, number in given]
    found = classify(FirstSample(), sounds, 16_000, CLASSES)

    assert (3, pytest.approx(2 / 3)) == (found.samples, found.accuracy)
    assert {"bell": (1, 1), "dog": (1, 2)} == found.of_class
    assert ("first sample", 16_000, "none") == (found.classifier, found.sampling_rate_hz, found.resampler)
    assert classify(FirstSample(), sounds[3:], 16_000, CLASSES).accuracy is None
