"""The segment of a sound that a VAE of spectrograms hears: where its loudest event begins.

Shapes: T samples, W frames of a sound, H bands, S frames of a segment.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipelines.encode.loaders.waveform import decode_mono, repeat_to_length

if TYPE_CHECKING:
    from schemas.spectrogram_vae import SpectrogramFront, VaeCard

# Every sound is made so loud before its mel: that a recording is soft says nothing of what it is of.
PEAK = 0.7
# Frames before an event, which are to be soft, and frames within which its loudness counts.
_BEFORE, _REACH = 4, 16.0


def decode_segment(item: bytes, card: VaeCard, start_s: float | None = None) -> np.ndarray:
    """Return the standardised spectrogram of a segment, float32 `[1, H, S]`.

    A sound that is shorter than the segment is repeated as often as it fits whole, and ends in silence.

    Args:
        item: the bytes of a sound file.
        card: of the VAE.
        start_s: where the segment begins; where the loudest event does if None.

    Raises:
        UndecodableMediaError: it cannot be decoded.
    """
    front = card.front
    wave_T = decode_mono(item, front.rate_hz)
    if start_s is not None:
        first = max(0, min(round(start_s * front.rate_hz), len(wave_T) - card.samples))
        wave_T = wave_T[first : first + card.samples]
    spectrogram = compute_spectrogram(normalize_wave(wave_T, card.samples), front)
    first = find_onset(measure_loudness(spectrogram, front), card.net.frames)
    return spectrogram[:, :, first : first + card.net.frames]


def normalize_wave(wave_T: np.ndarray, least: int) -> np.ndarray:
    """Return a wave of at least so many samples with its peak at `PEAK`, float32; silence stays silence."""
    filled_T = wave_T if len(wave_T) >= least else repeat_to_length(wave_T, least)
    peak = float(np.abs(filled_T).max())
    return np.asarray(filled_T * (PEAK / peak) if peak > 0 else filled_T, np.float32)


def compute_spectrogram(wave_T: np.ndarray, front: SpectrogramFront) -> np.ndarray:
    """Return the standardised spectrogram of a wave, float32 `[1, H, W]`, without a last frame in part."""
    import torch

    from pipelines.models.spectrogram_front import compute_spectrograms

    whole_T = np.ascontiguousarray(wave_T[: len(wave_T) // front.hop * front.hop])
    return np.asarray(compute_spectrograms(torch.from_numpy(whole_T)[None], front)[0].numpy())


def measure_loudness(spectrogram: np.ndarray, front: SpectrogramFront) -> np.ndarray:
    """Return the loudness of the frames of a standardised spectrogram, float64 `[W]`, at least 0."""
    nepers = spectrogram[0].astype(np.float64) * front.db_per_unit / 8.685889638065035
    return np.asarray(np.exp(nepers - nepers.max()).mean(0))


def find_onset(loudness_W: np.ndarray, frames: int) -> int:
    """Return the first frame of the segment in which an event begins, with a few soft frames before it.

    What begins at the same frame need not have a latent that says when. A mere maximum of the loudness would
    leave an event that is shorter than the segment anywhere in it.

    Args:
        loudness_W: of the frames of a sound.
        frames: of the segment, at most those of the sound.
    """
    tail_S = np.exp(-np.arange(frames - _BEFORE) / _REACH)
    weights_S = np.concatenate([np.full(_BEFORE, -tail_S.sum() / (2 * _BEFORE)), tail_S])
    return int(np.correlate(loudness_W, weights_S, "valid").argmax())
