"""The sizes of a sound inside AudioLDM: samples, spectrogram frames, latents.

The rounding is that of diffusers: down to whole frames, then up to whole latents; the sound is truncated.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from pipelines.errors import ConfigError


@dataclass(frozen=True)
class SoundLengths:
    """The sizes of one sound.

    Attributes:
        frames: of the spectrogram; a multiple of the frames a latent.
        latents: along the time axis.
        samples: of the sound.
    """

    frames: int
    latents: int
    samples: int


def compute_lengths(length_s: float, rate_hz: int, hop: int, frames_a_latent: int) -> SoundLengths:
    """Return the sizes of a sound.

    Args:
        length_s: of the sound; 10 s are 1,000 frames and 250 latents of AudioLDM.
        rate_hz: samples a second.
        hop: samples a frame.
        frames_a_latent: the VAE's downsampling factor.

    Raises:
        ConfigError: it is shorter than a latent.
    """
    frame_s = hop / rate_hz
    least_s = frame_s * frames_a_latent
    if not length_s >= least_s:
        raise ConfigError(f"a sound of {length_s:g} s is too short for this generator; ask for {least_s:g} s")
    latents = math.ceil(int(length_s / frame_s) / frames_a_latent)
    return SoundLengths(latents * frames_a_latent, latents, int(length_s * rate_hz))
