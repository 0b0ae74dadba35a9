"""Perceptual hashes of pictures and sounds, 128 bits: near copies differ in few of them.

The hash of a plane is the signs of its lowest cosine frequencies (the DCT hash of pHash, phash.org): 64 that
are even in the horizontal, then 64 that are odd. A mirrored picture has the same even signs and the opposite
odd ones, so that its hash is known without it. A sound's plane is its spectrogram in dB, of 32 bands and 32
moments, so that gain, rate and lossy coding change little.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from pipelines.decode.pixels import open_picture
from pipelines.decode.sound import read_sound
from pipelines.errors import UndecodableMediaError
from schemas.split_hashes import HASH_BYTES

_SIDE = 32
# Share of each side that the middle of a picture lacks.
_CUT = 0.03
_HALF_BITS = HASH_BYTES * 4
# Standard deviation of a plane, in grey levels and in dB, below which its signs are those of noise.
_LEAST_GREY, _LEAST_DB = 3.0, 1.0
# Bands of a spectrogram: what telephones, 8 kHz files and lossy coders keep.
_LOWEST_HZ, _HIGHEST_HZ = 100.0, 3_400.0
_RATE_HZ = 8_000
_WINDOW = 1024
# Below the loudest band and moment; what is softer is noise of the coder.
_FLOOR_DB = 50.0


def hash_picture(data: bytes) -> tuple[str | None, str | None]:
    """Return the hash of a picture's file, and that of its middle, which a cropped copy is near to.

    None in place of each if it cannot be decoded or is of one colour.
    """
    from PIL import Image

    try:
        picture = open_picture(data, draft_px=2 * _SIDE).convert("L")
    except UndecodableMediaError:
        return None, None
    width, height = picture.size
    boxes = [(width * cut, height * cut, width * (1 - cut), height * (1 - cut)) for cut in (0, _CUT)]
    whole, middle = (
        picture.resize((_SIDE, _SIDE), Image.Resampling.BOX, box, reducing_gap=None) for box in boxes
    )
    return (
        hash_plane(np.asarray(whole, np.float32), _LEAST_GREY),
        hash_plane(np.asarray(middle, np.float32), _LEAST_GREY),
    )


def hash_sound(data: bytes) -> str | None:
    """Return the hash of a sound's file; None if it cannot be decoded, is too short or has one loudness."""
    import soxr

    try:
        wave_TC, rate_hz = read_sound(data)
    except UndecodableMediaError:
        return None
    wave_T = wave_TC.mean(1)
    if rate_hz != _RATE_HZ:
        wave_T = soxr.resample(wave_T, rate_hz, _RATE_HZ)
    if len(wave_T) < _WINDOW or not np.isfinite(wave_T).all():
        return None
    return hash_plane(_compute_loudness(wave_T), _LEAST_DB)


def hash_plane(plane_HW: np.ndarray, least_spread: float) -> str | None:
    """Return the hash of a plane, 32 hexadecimal digits; None if its standard deviation is below the least.

    Args:
        plane_HW: float32, 32 by 32.
        least_spread: of its values, in their unit.
    """
    from scipy.fft import dctn

    if not np.isfinite(plane_HW).all() or plane_HW.std() < least_spread:
        return None
    signs = dctn(plane_HW, norm="ortho")[_find_frequencies()] > 0
    return np.packbits(signs).tobytes().hex()


@cache
def _find_frequencies() -> tuple[np.ndarray, np.ndarray]:
    """Return rows and columns of the lowest frequencies: 64 of even columns without the mean, 64 of odd."""
    rows, columns = np.divmod(np.arange(_SIDE * _SIDE), _SIDE)
    by_length = np.argsort(rows**2 + columns**2, kind="stable")[1:]
    even, odd = (by_length[columns[by_length] % 2 == parity][:_HALF_BITS] for parity in (0, 1))
    chosen = np.concatenate([even, odd])
    return rows[chosen], columns[chosen]


def _compute_loudness(wave_T: np.ndarray) -> np.ndarray:
    """Return the loudness of bands by moments, float32 `[32, 32]` in dB, above a floor below the loudest."""
    hop = max(1, (len(wave_T) - _WINDOW) // (4 * _SIDE))
    windows = np.lib.stride_tricks.sliding_window_view(wave_T, _WINDOW)[::hop]
    power_FK = np.abs(np.fft.rfft(windows * np.hanning(_WINDOW), axis=1)) ** 2
    edges = np.geomspace(_LOWEST_HZ, _HIGHEST_HZ, _SIDE + 1) * _WINDOW / _RATE_HZ
    lows, highs = np.floor(edges[:-1]).astype(int), np.ceil(edges[1:]).astype(int)
    bands_FB = np.stack([power_FK[:, low:high].mean(1) for low, high in zip(lows, highs, strict=True)], 1)
    moments_TB = np.stack([part.mean(0) for part in np.array_split(bands_FB, _SIDE)])
    floor = moments_TB.max() * 10 ** (-_FLOOR_DB / 10)
    loudness = 10 * np.log10(np.maximum(moments_TB, max(floor, 1e-20)))
    return np.asarray(loudness.T, np.float32)
