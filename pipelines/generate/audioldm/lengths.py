"""How long a sound is inside a generator: samples, frames of the spectrogram, latents.

The rule is diffusers' own, rounding and all: what is asked for is cut down to whole frames, filled up to
whole latents, and the sound is cut to length in the end.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from pipelines.errors import ConfigError


@dataclass(frozen=True)
class SoundLengths:
    """The sizes of one sound.

    Attributes:
        frames: of the spectrogram; a multiple of those in a latent.
        latents: along the time.
        samples: of the sound.
    """

    frames: int
    latents: int
    samples: int


def compute_lengths(length_s: float, rate_hz: int, hop: int, frames_a_latent: int) -> SoundLengths:
    """Return the sizes of a sound.

    Args:
        length_s: that is asked for; AudioLDM makes 1,000 frames and 250 latents of 10 s.
        rate_hz: samples a second.
        hop: samples a frame.
        frames_a_latent: how much smaller the VAE makes a spectrogram.

    Raises:
        ConfigError: it is shorter than a latent.
    """
    frame_s = hop / rate_hz
    least_s = frame_s * frames_a_latent
    if not length_s >= least_s:
        raise ConfigError(f"a sound of {length_s:g} s is too short for this generator; ask for {least_s:g} s")
    latents = math.ceil(int(length_s / frame_s) / frames_a_latent)
    return SoundLengths(latents * frames_a_latent, latents, int(length_s * rate_hz))
