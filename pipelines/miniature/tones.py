"""What the miniature world's sounds are made of: sines, filtered noise, envelopes and grains.

A wave is float32 [T] at 48,000 Hz; everything here is cheap enough to be done while a server answers.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import signal

SAMPLE_RATE = 48_000

Wave = NDArray[np.float32]

# Sines above this share of the sampling rate would come back as other tones.
_NYQUIST_SHARE = 0.45


def wave(values: ArrayLike) -> Wave:
    """Return values as a wave."""
    return np.asarray(values, dtype=np.float32)


def seconds(length_s: float) -> Wave:
    """Return the times of a wave of this length, in seconds."""
    samples = max(1, round(length_s * SAMPLE_RATE))
    return np.arange(samples, dtype=np.float32) / np.float32(SAMPLE_RATE)


def hiss(rng: np.random.Generator, times: Wave) -> Wave:
    """Return white noise of RMS 1."""
    # Evenly spread samples sound like Gaussian ones and are drawn four times as fast.
    return (rng.random(len(times), dtype=np.float32) - 0.5) * np.float32(np.sqrt(12))


def band(source: Wave, centre_hz: float, q: float) -> Wave:
    """Return what a resonance at `centre_hz` leaves of a wave; a high `q` rings longer."""
    b, a = signal.iirpeak(min(centre_hz, _NYQUIST_SHARE * SAMPLE_RATE), q, fs=SAMPLE_RATE)
    return _filter(b, a, source)


def low(source: Wave, cutoff_hz: float) -> Wave:
    """Return a wave without what lies above `cutoff_hz` (6 dB an octave)."""
    keep = float(np.exp(-2 * np.pi * cutoff_hz / SAMPLE_RATE))
    return _filter([1 - keep], [1, -keep], source)


def _filter(b: ArrayLike, a: ArrayLike, source: Wave) -> Wave:
    # Coefficients in float32 keep scipy in float32, which halves the time.
    return wave(signal.lfilter(wave(b), wave(a), source))


def cycles(frequency_hz: ArrayLike) -> Wave:
    """Return the phase in cycles, modulo 1, of a wave that has this frequency at every sample."""
    return wave(np.cumsum(frequency_hz, dtype=np.float64) / SAMPLE_RATE % 1.0)


def tone(frequency_hz: float, times: Wave) -> Wave:
    """Return a sine of one frequency."""
    return sine(times * np.float32(frequency_hz))


def sine(cycles_T: Wave, harmonic: int = 1) -> Wave:
    """Return a sine of a phase in cycles."""
    return wave(np.sin(np.float32(2 * np.pi * harmonic) * cycles_T))


def fading(times: Wave, decay_s: float) -> Wave:
    """Return an envelope that falls to 1/e every `decay_s`."""
    return wave(np.exp(times * np.float32(-1 / decay_s)))


def swell(times: Wave, rise: float, fall: float) -> Wave:
    """Return an envelope that rises over a share of the length and falls over another."""
    place = along(times)
    return wave(np.minimum(1, np.minimum(place / rise, (1 - place) / fall)))


def along(times: Wave) -> Wave:
    """Return the place of every sample in its wave, from 0 to 1."""
    return np.linspace(0, 1, len(times), dtype=np.float32)


def partials(times: Wave, frequencies_hz: ArrayLike, gains: ArrayLike, decays_s: ArrayLike) -> Wave:
    """Return a sum of decaying sines."""
    total = np.zeros_like(times)
    for frequency_hz, gain, decay_s in np.broadcast(frequencies_hz, gains, decays_s):
        if frequency_hz < _NYQUIST_SHARE * SAMPLE_RATE:
            total += np.float32(gain) * tone(frequency_hz, times) * fading(times, decay_s)
    return total


def click(rng: np.random.Generator, centre_hz: float, q: float, decay_s: float) -> Wave:
    """Return a burst of noise through one resonance, 10 decays long, with a peak of 1."""
    times = seconds(10 * decay_s)
    burst = band(hiss(rng, times) * fading(times, decay_s), centre_hz, q)
    return wave(burst / np.abs(burst).max())


def scatter(times: Wave, onsets_s: ArrayLike, grains: Sequence[Wave]) -> Wave:
    """Return silence with one grain added at every onset; what runs past the end is cut."""
    total = np.zeros_like(times)
    for onset_s, grain in zip(np.asarray(onsets_s), grains, strict=True):
        start = round(float(onset_s) * SAMPLE_RATE)
        part = total[start : start + len(grain)]
        part += grain[: len(part)]
    return total
