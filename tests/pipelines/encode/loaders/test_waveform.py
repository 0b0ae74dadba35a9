import io

import numpy as np
import pytest
import soundfile

from pipelines.encode.loaders.waveform import decode_mono, find_window_starts, repeat_to_length
from pipelines.errors import UndecodableMediaError


def wav(samples_T, rate_hz=48_000):
    made = io.BytesIO()
    soundfile.write(made, samples_T, rate_hz, format="WAV", subtype="FLOAT")
    return made.getvalue()


@pytest.mark.parametrize(
    ("length", "starts"),
    [
        pytest.param(1, [0], id="one-sample"),
        pytest.param(1000, [0], id="exactly-a-window"),
        pytest.param(1010, [0], id="a-codec-frame-more"),
        pytest.param(1011, [0, 11], id="more-than-that"),
        pytest.param(2000, [0, 1000], id="two-windows"),
        pytest.param(2005, [0, 1000], id="two-and-a-frame"),
        pytest.param(2500, [0, 1000, 1500], id="two-and-a-half"),
    ],
)
def test_windows(length, starts):
    """Every window of a long sound is whole, and a few milliseconds do not make one."""
    assert starts == find_window_starts(length, 1000)


def test_waveform():
    """Stereo becomes its mean, another rate becomes the model's, and samples lie on CLAP's int16 grid."""
    times_T = np.arange(22_050) / 22_050
    tone_T = 0.5 * np.sin(2 * np.pi * 440 * times_T)
    sound = wav(np.stack([tone_T, np.zeros_like(tone_T)], axis=1), 22_050)

    samples_T = decode_mono(sound, 48_000)

    assert len(samples_T) == 48_000
    assert np.abs(samples_T).max() == pytest.approx(0.25, abs=0.01)
    np.testing.assert_allclose(np.round(samples_T * 32767), samples_T * 32767, atol=1e-2)
    loud_T = decode_mono(wav(np.array([2.0, -2.0, 0.5])), 48_000)
    np.testing.assert_allclose([1, -1, 16383 / 32767], loud_T, atol=1e-6)


@pytest.mark.parametrize(
    ("sound", "reason"),
    [
        pytest.param(lambda: b"<html>", "undecodable", id="html"),
        pytest.param(lambda: b"", "undecodable", id="empty"),
        pytest.param(lambda: wav(np.zeros(0)), "no_audio", id="no-samples"),
        pytest.param(lambda: wav(np.full(99, np.nan)), "undecodable", id="nan"),
    ],
)
def test_bad_sounds(sound, reason):
    """What cannot be heard is an outcome, with its reason."""
    with pytest.raises(UndecodableMediaError) as caught:
        decode_mono(sound(), 48_000)

    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("length", "repeats"),
    [
        pytest.param(3, 3, id="thrice"),
        pytest.param(10, 1, id="a-window"),
        pytest.param(7, 1, id="once"),
    ],
)
def test_a_short_sound_is_repeated_whole(length, repeats):
    """As often as it fits; what is left of the window is silent."""
    samples_T = np.arange(1, length + 1)

    filled_T = repeat_to_length(samples_T, 10)

    np.testing.assert_array_equal([*list(samples_T) * repeats, *[0] * (10 - repeats * length)], filled_T)
