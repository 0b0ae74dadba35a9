"""Peak normalisation of sounds."""

from __future__ import annotations

import numpy as np

from pipelines.errors import ConfigError

# Just below full scale: a lossy codec overshoots by about 1 dB.
PEAK_DBFS = -1.0
# A peak below this is silence, which is not amplified.
_SILENCE = 1e-4


def normalize_loudness(waves_NT: np.ndarray) -> np.ndarray:
    """Return sounds with their peaks at `PEAK_DBFS`, float32 `[N, T]`; silence is unchanged.

    Raises:
        ConfigError: some samples are not finite, as after an overflow in half precision.
    """
    if not np.isfinite(waves_NT).all():
        raise ConfigError("the generator made samples that are no numbers; ask for precision fp32")
    peaks_N1 = np.abs(waves_NT).max(axis=1, keepdims=True, initial=0)
    gains_N1 = np.where(peaks_N1 > _SILENCE, 10 ** (PEAK_DBFS / 20) / np.maximum(peaks_N1, _SILENCE), 1)
    return np.asarray(waves_NT * gains_N1, np.float32)
