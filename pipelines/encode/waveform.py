"""The bytes of a sound file -> a mono waveform as CLAP models want it, and where its windows begin."""

from __future__ import annotations

import io

import numpy as np

from pipelines.encode.encoder import Unusable

# Of the model's window. A cut to 10 s leaves up to one codec frame over (AAC: 21 ms, MP3: 26 ms), and a
# whole window for those few milliseconds would count as much as the first.
_WORTH_A_WINDOW = 0.01


def window_starts(length: int, window: int) -> list[int]:
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


def mono(item: bytes, rate_hz: int) -> np.ndarray:
    """Return float32 [T] at a rate, after the int16 step that CLAP was trained with.

    Args:
        item: the bytes of a sound file.
        rate_hz: the model's.

    Raises:
        Unusable: it cannot be decoded, or there is nothing in it.
    """
    import soundfile
    import soxr

    try:
        samples_TC, given_hz = soundfile.read(io.BytesIO(item), dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, ValueError, TypeError) as error:
        raise Unusable("undecodable") from error
    samples_T = samples_TC.mean(axis=1)
    if given_hz != rate_hz:
        samples_T = soxr.resample(samples_T, given_hz, rate_hz)
    if not len(samples_T):
        raise Unusable("no_audio")
    if not np.isfinite(samples_T).all():
        raise Unusable("undecodable")
    quantised_T: np.ndarray = (np.clip(samples_T, -1, 1) * 32767).astype(np.int16)
    rounded_T: np.ndarray = quantised_T.astype(np.float32) / np.float32(32767)
    return rounded_T
