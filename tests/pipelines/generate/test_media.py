"""The table of media: a file says its medium, and holds what was made, in the same bytes every time."""

import io

import numpy as np
import pytest
import soundfile
from PIL import Image

from pipelines.errors import ConfigError
from pipelines.generate.generator import Samples
from pipelines.generate.media import MEDIA, MEDIUM_OF, choose_format, join_samples

TONE = np.sin(np.arange(1_600) / 9).astype(np.float32)
PICTURES = np.random.default_rng(0).integers(0, 255, (2, 9, 5, 3), np.uint8)


def test_a_suffix_says_its_medium():
    """No two media share one, and the usual format is the first."""
    assert {"flac": "sound", "wav": "sound", "png": "picture", "txt": "text"} == MEDIUM_OF
    assert ["flac", "png", "txt"] == [choose_format(medium, None) for medium in ("sound", "picture", "text")]
    with pytest.raises(ConfigError, match="a text is no png file; take --format txt"):
        choose_format("text", "png")


@pytest.mark.parametrize("peak", [0.01, 4.0], ids=["whisper", "shout"])
@pytest.mark.parametrize("form", ["flac", "wav"])
def test_sounds_are_written_at_one_level(peak, form):
    """Their peaks at -1 dBFS, whatever the generator returned; 16 bits, mono."""
    samples = Samples("sound", np.stack([TONE, peak * TONE]), rate_hz=1_600)
    data = MEDIA["sound"].write(samples, 1, form)
    info = soundfile.info(io.BytesIO(data))
    wave_T, rate_hz = MEDIA["sound"].read(data)

    assert (1, 1_600, "PCM_16", form.upper()) == (info.channels, rate_hz, info.subtype, info.format)
    np.testing.assert_allclose(10 ** (-1 / 20), np.abs(wave_T).max(), atol=1e-3)
    assert data == MEDIA["sound"].write(samples, 1, form)


def test_a_sound_of_no_numbers_has_no_file():
    """The one beside it has."""
    waves_NT = np.stack([TONE, TONE])
    waves_NT[0, 7] = np.inf
    samples = Samples("sound", waves_NT, rate_hz=1_600)

    assert MEDIA["sound"].write(samples, 0, "wav") is None
    assert MEDIA["sound"].write(samples, 1, "wav")


def test_pictures_are_kept_to_the_pixel():
    """As PNG, in the same bytes every time and without a date."""
    samples = Samples("picture", PICTURES, size=(5, 9))
    data = MEDIA["picture"].write(samples, 1, "png")

    np.testing.assert_array_equal(PICTURES[1], MEDIA["picture"].read(data))
    assert data == MEDIA["picture"].write(samples, 1, "png")
    assert {} == Image.open(io.BytesIO(data)).info


def test_texts_are_utf8():
    """Whatever they are written in, with their line ends."""
    text = "Glocke \u2026 \U0001f514\r\n"
    data = MEDIA["text"].write(Samples("text", [text]), 0, "txt")

    assert text.encode() == data
    assert text == MEDIA["text"].read(data)


def test_batches_are_joined_in_their_order():
    """If they are alike."""
    first, second = (Samples("picture", PICTURES[[n]], size=(5, 9)) for n in range(2))
    turned = Samples("picture", PICTURES[[0]].swapaxes(1, 2), size=(9, 5))

    np.testing.assert_array_equal(PICTURES, join_samples([first, second]).data)
    assert ["a", "b"] == join_samples([Samples("text", ["a"]), Samples("text", ["b"])]).data
    with pytest.raises(ConfigError, match="differ in rate or size"):
        join_samples([first, turned])
