"""Which class a sound should be heard as, and how often it is."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from pipelines.evaluate.sounds import DecodedSound, classify
from pipelines.evaluate.sounds import find_class as expected_class
from pipelines.generate.output import decode_sound
from pipelines.generate.stages import encode_sound
from pipelines.report.players import draw_spectrogram

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

    assert (3, pytest.approx(2 / 3)) == (found.sounds, found.accuracy)
    assert {"bell": (1, 1), "dog": (1, 2)} == found.of_class
    assert ("first sample", 16_000, "none") == (found.classifier, found.sampling_rate_hz, found.resampler)
    assert classify(FirstSample(), sounds[3:], 16_000, CLASSES).accuracy is None


@pytest.mark.parametrize("form", ["flac", "wav"])
def test_a_sound_file_is_what_was_made(form):
    """16 bits of it, and the same bytes every time."""
    wave_T = np.sin(np.arange(1_600) / 9).astype(np.float32) * 0.8
    data = encode_sound(wave_T, 16_000, form)
    found_T, rate_hz = decode_sound(data)

    assert 16_000 == rate_hz
    assert data == encode_sound(wave_T, 16_000, form)
    np.testing.assert_allclose(wave_T, found_T, atol=1 / 2**15)


@pytest.mark.parametrize("samples", [10, 16_000], ids=["shorter-than-a-window", "a-second"])
def test_a_spectrogram_is_a_picture(samples):
    """A high tone is bright above, in the upper half."""
    wave_T = np.sin(2 * np.pi * 6_000 / 16_000 * np.arange(samples)).astype(np.float32)
    data = draw_spectrogram(wave_T, 16_000).removeprefix("data:image/png;base64,")
    shade_HW = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))

    assert (64, 180) == shade_HW.shape
    assert shade_HW[:32].max() == shade_HW.max()
    if samples > 1_000:
        assert shade_HW[:32].mean() > shade_HW[32:].mean()
