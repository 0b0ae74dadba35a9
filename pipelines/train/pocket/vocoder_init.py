"""Initial weights of the vocoder: a bank of tones, one a mel band, as loud as the spectrogram says.

From random weights a HiFiGAN this small takes thousands of steps to separate the bands (after 550, pocket
CLAP classifies 28 % of its sounds right). Its layers can be set to a bank of tones, so that training only has
to learn what a bank of tones cannot do.
"""

from __future__ import annotations

from typing import Any

from pipelines.train.pocket.audioldm_data import FFT, HOP, MEAN, MELS, SAMPLE_RATE, make_mel_filters

# x * (1 + s / 10) + 0.9 * s * max(0, x - knot), applied three times to max(0, mel - floor): times the gain it
# approximates exp(1.3 * mel), 1.3 being `SPREAD`, to within 3 dB for mels from -2.6 to 3.4. Fitted by
# Nelder-Mead.
_FLOOR, _GAIN_LN = -2.817, -5.652
_KNOTS = ((4.834, 16.97), (4.979, 30.078), (146.068, 19.22))  # knot, s
_SLOPE, _LAST_SLOPE = 0.1, 0.01  # of the leaky ReLUs: between the layers, and before the last
# Mel magnitude of a tone of amplitude 1 in the middle of a band of 1 Hz width.
_LOUDNESS = 512.0


def tune(net: Any) -> None:
    """Set the weights of a `SpeechT5HifiGan` of `vocoder.CONFIG` to a bank of tones."""
    import torch

    with torch.no_grad():
        _set_input(net.conv_pre, net.upsampler[0])
        _set_exponential(net.resblocks[0])
        _set_tones(net.upsampler[1])
        _set_output(net.upsampler[2], net.conv_post)
        for block in (net.resblocks[1], net.resblocks[2]):
            for conv in block.convs2:
                conv.weight.zero_()
                conv.bias.zero_()


def _set_input(before: Any, up: Any) -> None:
    """Let channel b be band b's height above the floor; both signs go in because the ReLU is leaky."""
    import torch

    both = torch.cat([torch.eye(MELS), -torch.eye(MELS)])
    _set_pointwise(before, both)
    before.bias.copy_(-_FLOOR * both.sum(1))
    gain = 1 / (1 - _SLOPE**2)
    _set_pointwise(up, torch.cat([torch.eye(MELS), _SLOPE * torch.eye(MELS)]) * gain)
    up.bias.zero_()


def _set_exponential(block: Any) -> None:
    """Approximate exp: log magnitudes to amplitudes."""
    import torch

    for first, second, (knot, steepness) in zip(block.convs1, block.convs2, _KNOTS, strict=True):
        _set_pointwise(first, torch.eye(MELS))
        first.bias.fill_(-knot)
        _set_pointwise(second, steepness * torch.eye(MELS))
        second.bias.fill_(_SLOPE * steepness * knot)


def _set_tones(up: Any) -> None:
    """Give every band a tone: grains of two frames, with every fifth sample in a channel of its own.

    Tones are at multiples of 50 Hz, so that grains of neighbouring frames overlap in phase. Each is there
    with both signs.
    """
    import torch

    every = SAMPLE_RATE // (SAMPLE_RATE // HOP * up.stride[0])
    filters_FM = make_mel_filters(FFT, MELS)
    centres_hz = (filters_FM * torch.linspace(0, SAMPLE_RATE / 2, len(filters_FM))[:, None]).sum(0)
    centres_hz = centres_hz / filters_FM.sum(0)
    widths_hz = FFT / SAMPLE_RATE / (1.5 * filters_FM.square().sum(0))
    cycles_M1 = (centres_hz * HOP / SAMPLE_RATE).round().clamp(min=1)[:, None]
    times_T = torch.arange(2 * HOP)
    phases_M1 = 2 * torch.pi * torch.rand(MELS, 1)
    tones_MT = torch.hann_window(2 * HOP) * torch.sin(2 * torch.pi * cycles_M1 * times_T / HOP + phases_M1)
    gains_M = widths_hz / _LOUDNESS * torch.tensor(MEAN + _GAIN_LN).exp()
    grains_MCT = (gains_M[:, None] * tones_MT).reshape(MELS, -1, every).transpose(1, 2)
    up.weight[:, :every], up.weight[:, every : 2 * every] = grains_MCT, -grains_MCT
    up.bias.zero_()


def _set_output(up: Any, after: Any) -> None:
    """Interleave the samples of the channels, and combine the two signs."""
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


def _set_pointwise(conv: Any, weights: Any) -> None:
    """Let a convolution, or its transpose, mix channels without mixing time."""
    conv.weight.zero_()
    conv.weight[:, :, conv.kernel_size[0] // 2] = weights
