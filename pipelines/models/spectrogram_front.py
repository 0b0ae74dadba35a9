"""Waves -> the standardised spectrograms of a VAE, and back to amplitudes.

Shapes: N sounds, T samples, H bands, W frames, F bins of the Fourier transform.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from schemas.spectrogram_vae import SpectrogramFront

# Smaller mel amplitudes count as this one, as AudioLDM has it: -100 dB.
FLOOR = 1e-5


def compute_spectrograms(waves_NT: Tensor, front: SpectrogramFront) -> Tensor:
    """Return standardised spectrograms, `[N, 1, H, T / hop]`.

    Args:
        waves_NT: at the front's rate; T a multiple of its hop.
        front: of the VAE.
    """
    amplitudes = compute_amplitudes(waves_NT, front)
    if front.kind == "decibels":
        loudest = amplitudes.amax((1, 2), keepdim=True).clamp(min=FLOOR)
        lowest = 10 ** (-front.range_db / 20)
        decibels = 20 * (amplitudes[:, : front.bands] / loudest).clamp(min=lowest).log10()
        return (decibels / front.range_db + 1)[:, None]
    mels = make_mel_filters(front).to(amplitudes.device).T @ amplitudes
    return ((mels.clamp(min=FLOOR).log() - front.mean) / front.spread)[:, None]


def compute_amplitudes(waves_NT: Tensor, front: SpectrogramFront) -> Tensor:
    """Return the amplitudes of all bins, `[N, F, T / hop]`."""
    padding = (front.fft - front.hop) // 2
    padded = torch.nn.functional.pad(waves_NT[:, None], (padding, padding), mode="reflect")[:, 0]
    window = torch.hann_window(front.window, device=waves_NT.device)
    spectra = torch.stft(
        padded, front.fft, front.hop, front.window, window, center=False, return_complex=True
    )
    return spectra.abs()


def restore_log_mels(spectrograms: Tensor, front: SpectrogramFront) -> Tensor:
    """Return ln of the mel amplitudes of standardised log-mel spectrograms, `[N, W, H]`."""
    return spectrograms[:, 0].transpose(1, 2) * front.spread + front.mean


def restore_amplitudes(spectrograms: Tensor, front: SpectrogramFront) -> Tensor:
    """Return amplitudes of all bins of standardised spectrograms, `[N, F, W]`.

    Decibels become amplitudes again, of which the loudest is 1; mel bands become the least bins that have
    these bands, by the pseudoinverse of their filters without its negative numbers.
    """
    bins = front.fft // 2 + 1
    if front.kind == "decibels":
        decibels = (spectrograms[:, 0].clamp(0, 1) - 1) * front.range_db
        return torch.nn.functional.pad(10 ** (decibels / 20), (0, 0, 0, bins - front.bands))
    mels = restore_log_mels(spectrograms, front).exp().transpose(1, 2)
    inverse = torch.linalg.pinv(make_mel_filters(front).T).to(mels.device)
    bins_NFW: Tensor = (inverse @ mels).clamp(min=0)
    return bins_NFW


@lru_cache
def make_mel_filters(front: SpectrogramFront) -> Tensor:
    """Return the mel filters of HiFiGAN, `[F, H]`."""
    from transformers.audio_utils import mel_filter_bank

    filters = mel_filter_bank(
        front.fft // 2 + 1, front.bands, 0.0, front.rate_hz / 2, front.rate_hz, "slaney", "slaney"
    )
    return torch.from_numpy(filters.astype(np.float32))
