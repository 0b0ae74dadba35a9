"""Amplitudes of a short-time Fourier transform -> a wave, by guessing phases.

Perraudin et al. 2013, A fast Griffin-Lim algorithm. Only where no vocoder hears the same mel bands: it knows
nothing of sounds.
"""

from __future__ import annotations

import torch
from torch import Tensor

from schemas.spectrogram_vae import SpectrogramFront

_STEPS = 32
_MOMENTUM = 0.99


def invert_amplitudes(amplitudes_NFW: Tensor, front: SpectrogramFront, steps: int = _STEPS) -> Tensor:
    """Return waves whose spectrograms have about these amplitudes, `[N, T]`, T = W times the hop.

    Args:
        amplitudes_NFW: of all bins, linear: decibels would have to become amplitudes first.
        front: that they were computed with.
        steps: of the guess.
    """
    count, _, frames = amplitudes_NFW.shape
    length = frames * front.hop
    window = torch.hann_window(front.window)

    def to_waves(spectra: Tensor) -> Tensor:
        return torch.istft(spectra, front.fft, front.hop, front.window, window, length=length)

    def to_spectra(waves_NT: Tensor) -> Tensor:
        found = torch.stft(waves_NT, front.fft, front.hop, front.window, window, return_complex=True)
        return found[:, :, : frames + 1]

    # A centred transform has a frame more than the front's: the last one twice.
    wanted = torch.cat([amplitudes_NFW, amplitudes_NFW[:, :, -1:]], 2)
    generator = torch.Generator().manual_seed(0)
    angles = torch.exp(2j * torch.pi * torch.rand(wanted.shape, generator=generator))
    before = torch.zeros_like(angles)
    for _ in range(steps):
        rebuilt = to_spectra(to_waves(wanted * angles))
        ahead = rebuilt - before * (_MOMENTUM / (1 + _MOMENTUM))
        angles, before = ahead / (ahead.abs() + 1e-12), rebuilt
    waves_NT: Tensor = to_waves(wanted * angles)
    assert waves_NT.shape == (count, length)
    return waves_NT
