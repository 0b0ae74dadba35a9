"""A sound's picture shows when it sounds, and how high."""

import io

import numpy as np
import pytest
import soundfile
from PIL import Image

from pipelines.serve.page.spectrogram import draw_spectrogram

RATE_HZ = 16_000


def draw_wave(wave_T):
    """Return the grey levels of the spectrogram of samples, [H, W]."""
    file = io.BytesIO()
    soundfile.write(file, wave_T, RATE_HZ, format="WAV", subtype="FLOAT")
    return np.asarray(Image.open(io.BytesIO(draw_spectrogram(file.getvalue()))).convert("L"), np.float32)


def test_a_higher_tone_lies_higher():
    """The loudest row of an octave's three tones goes up by equal steps."""
    times_T = np.arange(RATE_HZ) / RATE_HZ
    rows = [
        draw_wave(0.5 * np.sin(2 * np.pi * hz * times_T)).mean(1).argmax() for hz in (500, 1000, 2000, 4000)
    ]
    steps = -np.diff(rows)

    assert (steps > 0).all()
    assert np.ptp(steps) <= 3


def test_it_is_dark_where_it_is_silent():
    """A tone in the second half shows on the right."""
    tone_T = np.sin(2 * np.pi * 1000 * np.arange(RATE_HZ) / RATE_HZ)
    levels = draw_wave(np.concatenate([np.zeros(RATE_HZ), tone_T]))
    half = levels.shape[1] // 2

    assert levels[:, : half - 20].max() < 40
    assert levels[:, half + 20 :].max() > 200


@pytest.mark.parametrize("samples", [1, 100, 30 * RATE_HZ], ids=["one", "short", "long"])
def test_any_length_fits(samples):
    """Into a picture of one size."""
    assert (160, 640) == draw_wave(np.random.default_rng(0).normal(0, 0.1, samples)).shape
