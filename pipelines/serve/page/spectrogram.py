"""A sound as people see it: time to the right, frequency upwards and logarithmic, loudness as colour."""

from __future__ import annotations

import io

import numpy as np

from pipelines.decode.sound import read_sound

_SIZE_PX = (640, 160)
_WINDOW_S, _HOP_S = 0.04, 0.01
_LOWEST_HZ, _RANGE_DB = 60.0, 70.0
# Dark to light by way of the page's own green, as positions in 0..1 and RGB.
_COLOURS = (
    (0.0, (12, 20, 27)),
    (0.35, (11, 74, 92)),
    (0.7, (63, 160, 160)),
    (0.9, (233, 214, 140)),
    (1.0, (255, 250, 235)),
)


def draw_spectrogram(data: bytes) -> bytes:
    """Return a PNG of a sound's spectrogram.

    Args:
        data: the file.

    Raises:
        UndecodableMediaError: it cannot be decoded.
    """
    from PIL import Image

    wave_TC, rate_hz = read_sound(data)
    levels_FW = _measure_levels(wave_TC.mean(1), rate_hz)
    unit_FW = np.clip((levels_FW - levels_FW.max()) / _RANGE_DB + 1, 0, 1)
    at, rgb = [each for each, _ in _COLOURS], np.array([each for _, each in _COLOURS], np.float32)
    pixels = np.stack([np.interp(unit_FW, at, rgb[:, channel]) for channel in range(3)], -1)
    image = Image.fromarray(pixels[::-1].round().astype(np.uint8)).resize(_SIZE_PX, Image.Resampling.BILINEAR)
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return file.getvalue()


def _measure_levels(wave_T: np.ndarray, rate_hz: int) -> np.ndarray:
    """Return levels in dB [F, W] of bands that are equally wide on a logarithmic scale, the lowest first."""
    from scipy.signal import ShortTimeFFT, get_window

    window = max(16, round(_WINDOW_S * rate_hz))
    # As many columns as the picture has, and no more, however long the sound.
    hop = max(1, round(_HOP_S * rate_hz), len(wave_T) // _SIZE_PX[0])
    padded_T = np.pad(wave_T, (0, max(0, window - len(wave_T))))
    transform = ShortTimeFFT(get_window("hann", window), hop, rate_hz)
    power_BW = np.abs(transform.stft(padded_T)) ** 2
    edges_hz = np.geomspace(min(_LOWEST_HZ, rate_hz / 8), rate_hz / 2, _SIZE_PX[1])
    rows_F = np.interp(edges_hz, transform.f, np.arange(len(transform.f)))
    low_F = np.floor(rows_F).astype(int)
    high_F = np.minimum(low_F + 1, len(power_BW) - 1)
    share_F1 = (rows_F - low_F)[:, None]
    mixed_FW = (1 - share_F1) * power_BW[low_F] + share_F1 * power_BW[high_F]
    return np.asarray(10 * np.log10(mixed_FW + 1e-12))
