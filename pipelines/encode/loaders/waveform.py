"""The bytes of a sound file -> a mono waveform as CLAP models want it, and where its windows begin."""

from __future__ import annotations

import io
from functools import partial

import numpy as np

from pipelines.encode.loaders.decode_cache import decode_once
from pipelines.errors import UndecodableMediaError

# Of the model's window. A cut to 10 s leaves up to one codec frame over (AAC: 21 ms, MP3: 26 ms), and a
# whole window for those few milliseconds would count as much as the first.
_WORTH_A_WINDOW = 0.01

# Of int16, as LAION counts: -32768 is never reached.
FULL_SCALE = 32767


def find_window_starts(length: int, window: int) -> list[int]:
    """Return where the windows of a sound begin: one after the other, the last one ending where it ends.

    Args:
        length: of the sound, in samples.
        window: the model's, in samples.
    """
    if length <= window * (1 + _WORTH_A_WINDOW):
        return [0]
    starts = list(range(0, length - window + 1, window))
    if length - (starts[-1] + window) > window * _WORTH_A_WINDOW:
        starts.append(length - window)
    return starts


def decode_mono(item: bytes, rate_hz: int) -> np.ndarray:
    """Return float32 [T] at a rate, after the int16 step that CLAP was trained with.

    Args:
        item: the bytes of a sound file.
        rate_hz: the model's.

    Raises:
        Unusable: it cannot be decoded, or there is nothing in it.
    """
    rounded_T: np.ndarray = quantize(item, rate_hz).astype(np.float32) / np.float32(FULL_SCALE)
    return rounded_T


def quantize(item: bytes, rate_hz: int) -> np.ndarray:
    """Return what `decode_mono` does as int16 [T], its values times `FULL_SCALE`: half the bytes, no loss."""
    return decode_once(item, rate_hz, partial(_quantised, rate_hz=rate_hz))


def _quantised(item: bytes, rate_hz: int) -> np.ndarray:
    import soundfile
    import soxr

    try:
        samples_TC, given_hz = soundfile.read(io.BytesIO(item), dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, ValueError, TypeError) as error:
        raise UndecodableMediaError("undecodable") from error
    samples_T = samples_TC.mean(axis=1)
    if given_hz != rate_hz:
        samples_T = soxr.resample(samples_T, given_hz, rate_hz)
    if not len(samples_T):
        raise UndecodableMediaError("no_audio")
    if not np.isfinite(samples_T).all():
        raise UndecodableMediaError("undecodable")
    quantised_T: np.ndarray = (np.clip(samples_T, -1, 1) * FULL_SCALE).astype(np.int16)
    return quantised_T


def repeat_to_length(samples_T: np.ndarray, window: int) -> np.ndarray:
    """Return a sound that fills a window: said again as often as it fits whole, then zeros (`repeatpad`)."""
    again_T = np.tile(samples_T, max(1, window // len(samples_T)))[:window]
    return np.pad(again_T, (0, window - len(again_T)))
