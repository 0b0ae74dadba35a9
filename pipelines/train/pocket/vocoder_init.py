"""First weights for the vocoder: every mel band a swelling tone, as loud as the spectrogram says.

From random weights a HiFiGAN this small takes thousands of steps to tell one band from another (after 550,
pocket CLAP knows 28 % of what it plays). Its layers can be set so that it begins as a bank of tones, and all
that training has to learn is what a bank of tones cannot do.
"""

from __future__ import annotations

from typing import Any

from pipelines.train.pocket.audioldm_data import FFT, HOP, MEAN, MELS, SAMPLE_RATE, make_mel_filters

# x * (1 + s / 10) + 0.9 * s * max(0, x - knot), three times over, of max(0, mel - floor): times the gain it
# is exp(1.3 * mel), 1.3 being the spread of `log_mels`, for mels from -2.6 to 3.4 and 3 dB off at most.
# Fitted to that by Nelder and Mead.
_FLOOR, _GAIN_LN = -2.817, -5.652
_BENDS = ((4.834, 16.97), (4.979, 30.078), (146.068, 19.22))  # knot, s
_SLOPE, _LAST_SLOPE = 0.1, 0.01  # of the leaky ReLUs: between the layers, and before the last
# A tone of amplitude 1 in the middle of a band of 1 Hz width, through `log_mels`.
_LOUDNESS = 512.0


def tune(net: Any) -> None:
    """Set the weights of a `SpeechT5HifiGan` of `pocket_vocoder.CONFIG`, those that a tone needs."""
    import torch

    with torch.no_grad():
        _read(net.conv_pre, net.upsampler[0])
        _bend(net.resblocks[0])
        _sound(net.upsampler[1])
        _join(net.upsampler[2], net.conv_post)
        for block in (net.resblocks[1], net.resblocks[2]):
            for conv in block.convs2:
                conv.weight.zero_()
                conv.bias.zero_()


def _read(before: Any, up: Any) -> None:
    """Let channel b be how far band b is above the floor: both signs go in, since a ReLU leaks."""
    import torch

    both = torch.cat([torch.eye(MELS), -torch.eye(MELS)])
    _only_middle(before, both)
    before.bias.copy_(-_FLOOR * both.sum(1))
    kept = 1 / (1 - _SLOPE**2)
    _only_middle(up, torch.cat([torch.eye(MELS), _SLOPE * torch.eye(MELS)]) * kept)
    up.bias.zero_()


def _bend(block: Any) -> None:
    """Make amplitudes of logarithms."""
    import torch

    for first, second, (knot, steepness) in zip(block.convs1, block.convs2, _BENDS, strict=True):
        _only_middle(first, torch.eye(MELS))
        first.bias.fill_(-knot)
        _only_middle(second, steepness * torch.eye(MELS))
        second.bias.fill_(_SLOPE * steepness * knot)


def _sound(up: Any) -> None:
    """Let every band sound: grains of two frames' length, every fifth sample in a channel of its own.

    Tones are of multiples of 50 Hz, so that grains of neighbouring frames join. Each is there with both
    signs.
    """
    import torch

    every = SAMPLE_RATE // (SAMPLE_RATE // HOP * up.stride[0])
    filters_FM = make_mel_filters(FFT, MELS)
    centres_hz = (filters_FM * torch.linspace(0, SAMPLE_RATE / 2, len(filters_FM))[:, None]).sum(0)
    centres_hz = centres_hz / filters_FM.sum(0)
    widths_hz = FFT / SAMPLE_RATE / (1.5 * filters_FM.square().sum(0))
    turns_M1 = (centres_hz * HOP / SAMPLE_RATE).round().clamp(min=1)[:, None]
    times_T = torch.arange(2 * HOP)
    phases_M1 = 2 * torch.pi * torch.rand(MELS, 1)
    tones_MT = torch.hann_window(2 * HOP) * torch.sin(2 * torch.pi * turns_M1 * times_T / HOP + phases_M1)
    gains_M = widths_hz / _LOUDNESS * torch.tensor(MEAN + _GAIN_LN).exp()
    grains_MCT = (gains_M[:, None] * tones_MT).reshape(MELS, -1, every).transpose(1, 2)
    up.weight[:, :every], up.weight[:, every : 2 * every] = grains_MCT, -grains_MCT
    up.bias.zero_()


def _join(up: Any, after: Any) -> None:
    """Put the samples side by side, and the two signs together."""
    every, beside = up.stride[0], up.padding[0]
    up.weight[:, :2].zero_()
    for sample in range(every):
        for channel, sign in ((sample, 1.0), (sample + every, -1.0)):
            up.weight[channel, 0, sample + beside] = sign / (1 + _SLOPE)
            up.weight[channel, 1, sample + beside] = -sign / (1 + _SLOPE)
    up.bias.zero_()
    after.weight.zero_()
    after.weight[0, 0, 3], after.weight[0, 1, 3] = 1 / (1 + _LAST_SLOPE), -1 / (1 + _LAST_SLOPE)
    after.bias.zero_()


def _only_middle(conv: Any, weights: Any) -> None:
    """Let a convolution, or its transpose, map channels alone."""
    conv.weight.zero_()
    conv.weight[:, :, conv.kernel_size[0] // 2] = weights
