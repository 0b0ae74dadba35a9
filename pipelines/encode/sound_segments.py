"""A stored sound, and the segments that are cut out of it."""

from __future__ import annotations

import io

import numpy as np

from pipelines.decode.sound import read_sound


def decode_stored_sound(flac: bytes) -> tuple[np.ndarray, int]:
    """Return a stored sound, int16 [T], without the silence that pads it, and its rate in Hz.

    Raises:
        UndecodableMediaError: it cannot be decoded.
    """
    samples_TC, rate_hz = read_sound(flac, "int16")
    samples_T = samples_TC[:, 0]
    sounding = np.flatnonzero(samples_T)
    return (samples_T[: sounding[-1] + 1] if len(sounding) else samples_T), rate_hz


def find_segment_starts(length: int, segment: int, step: int) -> list[int]:
    """Return where segments start in a sound: a step apart, the last one at its end.

    Args:
        length: of the sound, in samples; no longer than a segment, and it is taken whole.
        segment: length of a segment, in samples.
        step: from one start to the next, in samples.
    """
    last = max(0, length - segment)
    return sorted({*range(0, last + 1, step), last})


def encode_wav(samples_T: np.ndarray, rate_hz: int) -> bytes:
    """Return samples, int16 [T], as a WAV file."""
    import soundfile

    file = io.BytesIO()
    soundfile.write(file, samples_T, rate_hz, format="WAV", subtype="PCM_16")
    return file.getvalue()
