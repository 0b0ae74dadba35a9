"""Decode the bytes of a sound file to a mono waveform as CLAP models take it, and cut it into windows."""

from __future__ import annotations

from functools import partial

import numpy as np

from pipelines.decode.sound import read_sound
from pipelines.encode.loaders.decode_cache import decode_once
from pipelines.errors import UndecodableMediaError

# The share of a window that may be left over without a window of its own. A cut to 10 s leaves up to one
# codec frame (AAC: 21 ms, MP3: 26 ms), and a window for it would count as much as the first.
_TOLERATED_REST = 0.01

# Of int16 as LAION scales it: -32768 is never reached.
FULL_SCALE = 32767


def find_window_starts(length: int, window: int) -> list[int]:
    """Return the first samples of the windows of a sound: back to back, the last one at the sound's end.

    Args:
        length: of the sound, in samples.
        window: the model's, in samples.
    """
    if length <= window * (1 + _TOLERATED_REST):
        return [0]
    starts = list(range(0, length - window + 1, window))
    if length - (starts[-1] + window) > window * _TOLERATED_REST:
        starts.append(length - window)
    return starts


def locate_windows(item: bytes, rate_hz: int, window: int) -> np.ndarray:
    """Return where the windows of a sound start, in seconds, float32 [P].

    Args:
        item: the bytes of a sound file.
        rate_hz: the sample rate of the windows.
        window: the model's, in samples.

    Raises:
        UndecodableMediaError: it cannot be decoded, or there is nothing in it.
    """
    starts = find_window_starts(len(quantize(item, rate_hz)), window)
    return np.array(starts, np.float32) / np.float32(rate_hz)


def decode_mono(item: bytes, rate_hz: int) -> np.ndarray:
    """Return a mono waveform, float32 [T], rounded to int16 as in CLAP's training.

    Args:
        item: the bytes of a sound file.
        rate_hz: the sample rate of the result.

    Raises:
        UndecodableMediaError: it cannot be decoded, or there is nothing in it.
    """
    rounded_T: np.ndarray = quantize(item, rate_hz).astype(np.float32) / np.float32(FULL_SCALE)
    return rounded_T


def quantize(item: bytes, rate_hz: int) -> np.ndarray:
    """Return the waveform of `decode_mono` as int16 [T], times `FULL_SCALE`: half the bytes, no loss."""
    return decode_once(item, rate_hz, partial(_quantize, rate_hz=rate_hz))


def _quantize(item: bytes, rate_hz: int) -> np.ndarray:
    import soxr

    samples_TC, file_hz = read_sound(item)
    samples_T = samples_TC.mean(axis=1)
    if file_hz != rate_hz:
        samples_T = soxr.resample(samples_T, file_hz, rate_hz)
    if not len(samples_T):
        raise UndecodableMediaError("no_audio")
    if not np.isfinite(samples_T).all():
        raise UndecodableMediaError("undecodable")
    quantized_T: np.ndarray = (np.clip(samples_T, -1, 1) * FULL_SCALE).astype(np.int16)
    return quantized_T


def repeat_to_length(samples_T: np.ndarray, window: int) -> np.ndarray:
    """Return a sound that fills a window: repeated as often as it fits whole, then zeros (`repeatpad`)."""
    repeated_T = np.tile(samples_T, max(1, window // len(samples_T)))[:window]
    return np.pad(repeated_T, (0, window - len(repeated_T)))
