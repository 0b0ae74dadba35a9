import numpy as np
import pytest

from pipelines.miniature.tones import SAMPLE_RATE, band, fading, hiss, low, partials, scatter, seconds, tone


def loudest_hz(wave):
    return np.abs(np.fft.rfft(wave)).argmax() * SAMPLE_RATE / len(wave)


@pytest.mark.parametrize("frequency_hz", [110.0, 1_000.0, 12_000.0])
def test_a_tone_has_its_frequency(frequency_hz):
    """To the resolution of a second."""
    assert frequency_hz == pytest.approx(loudest_hz(tone(frequency_hz, seconds(1.0))), abs=1)


def test_filters_leave_their_part_of_white_noise():
    """A resonance rings at its centre, a low-pass takes the trebles; noise has RMS 1 before."""
    noise = hiss(np.random.default_rng(0), seconds(1.0))
    power = np.abs(np.fft.rfft(low(noise, 500))) ** 2

    assert 1.0 == pytest.approx(np.sqrt(np.square(noise).mean()), abs=0.01)
    assert 2_000 == pytest.approx(loudest_hz(band(noise, 2_000, 50)), rel=0.05)
    assert power[:1_000].sum() > power[1_000:].sum()


def test_partials_above_the_limit_are_left_out():
    """Near half the sampling rate they would come back as other tones."""
    times = seconds(0.1)

    assert not partials(times, [30_000.0], [1.0], [0.1]).any()
    assert np.array_equal(partials(times, [440.0, 30_000.0], 1.0, 0.1), partials(times, [440.0], 1.0, 0.1))
    assert np.float32(np.exp(-1)) == pytest.approx(fading(times, 0.05)[SAMPLE_RATE // 20], rel=1e-3)


def test_grains_are_cut_at_the_end():
    """Each begins at its onset."""
    grain = np.ones(100, np.float32)
    total = scatter(seconds(0.01), [0.001, 0.0099], [grain, grain])

    assert (48, 100 + 5) == (int(total.argmax()), int(total.sum()))
