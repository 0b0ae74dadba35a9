"""Whether there is anything to hear in a sound."""

from __future__ import annotations

from pipelines.decode.sound import read_sound
from pipelines.errors import ConfigError

# Its length, and its peak, -60 dBFS.
_LEAST_S, _LEAST_PEAK = 0.1, 1e-3


def check_audible(data: bytes, name: str) -> None:
    """Refuse a sound that says nothing.

    Args:
        data: the file.
        name: of the sound, in a sentence.

    Raises:
        ConfigError: it is silent or too short.
        UndecodableMediaError: it cannot be decoded.
    """
    wave_TC, rate_hz = read_sound(data)
    if len(wave_TC) < _LEAST_S * rate_hz:
        raise ConfigError(
            f"{name} has {len(wave_TC) / rate_hz:.3f} s of sound, too short to hear anything in; "
            f"give {_LEAST_S:g} s at least"
        )
    if abs(wave_TC).max() < _LEAST_PEAK:
        raise ConfigError(f"{name} is silent (its peak is below -60 dBFS); give a sound that can be heard")
