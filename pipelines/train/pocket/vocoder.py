"""Trains the vocoder of the pocket AudioLDM: a HiFiGAN that learns from spectra alone, without a critic."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.compute.device import choose_device
from pipelines.train.pocket.audioldm_data import (
    FRAMES,
    HOP,
    MELS,
    SAMPLE_RATE,
    SoundSampler,
    compute_log_mels,
    make_mel_filters,
)
from pipelines.train.pocket.vocoder_init import tune
from pipelines.train.trainer import Recipe, Trainer, set_fast_math

if TYPE_CHECKING:
    from torch import Tensor

STEPS = 600
# The bank of tones that it begins with is finely set: ten times as fast would unset it first.
RATE = 3e-5
# First a few layers at the rate of the frames, which learn how loud every tone is; then every frame sounds
# at once, as grains of two frames' length at 3,200 Hz; then the trebles. Small kernels with wide gaps hear
# as far as large ones for two thirds of the work. The kernels make 320 samples of a frame exactly.
CONFIG: dict[str, Any] = {
    "model_in_dim": MELS,
    "sampling_rate": SAMPLE_RATE,
    "upsample_initial_channel": 128,
    "upsample_rates": [1, 64, 5],
    "upsample_kernel_sizes": [3, 128, 11],
    "resblock_kernel_sizes": [3],
    "resblock_dilation_sizes": [[1, 3, 9]],
    "normalize_before": False,
}
_FRAMES = 32  # of a crop: 0.64 s
# Frames beside the crop that the net sees and the loss does not: what it makes at the edges is no matter.
_BESIDE = 4
# Samples of a window, and mel bands. A net that is fed 50 frames a second can only hold tones of multiples
# of 50 Hz; in bands they count as right, in single frequencies they would not, and it learned to hiss.
_SCALES = ((128, 16), (256, 24), (512, 40), (1024, 64))
_FLOOR = 1e-5


def train_vocoder(sounds: SoundSampler, recipe: Recipe) -> Any:
    """Return the trained vocoder.

    Args:
        sounds: to learn from.
        recipe: of the training.
    """
    import torch
    from transformers import SpeechT5HifiGan, SpeechT5HifiGanConfig

    torch.manual_seed(recipe.seed)
    net: Any = SpeechT5HifiGan(SpeechT5HifiGanConfig(**CONFIG))
    tune(net)
    net = net.to(choose_device())
    part = Trainer("vocoder", net, RATE, recipe)

    def lesson(step: int) -> Tensor:
        rng = np.random.default_rng([recipe.seed, step])
        given, wanted = _crops(sounds, recipe.sizes.vocoder_batch, rng)
        # bf16 takes two thirds of the time of fp32, but its rounding is a noise of -48 dB: not for the end.
        with set_fast_math(not part.fading):
            made = part.net(given.to(choose_device())).float()
        return measure_spectral_distance(made[:, _BESIDE * HOP : -_BESIDE * HOP], wanted.to(choose_device()))

    part.train(lesson)
    return part.get_averaged_net()


def _crops(sounds: SoundSampler, count: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Return spectrograms `[N, F, M]`, and the waves that belong to all but their edges `[N, T]`."""
    import torch

    waves = []
    for index in rng.choice(len(sounds), count, replace=False):
        first = int(rng.integers(FRAMES - _FRAMES - 2 * _BESIDE + 1))
        waves.append(sounds.read_wave(int(index), first * HOP, (_FRAMES + 2 * _BESIDE) * HOP))
    waves_NT = torch.from_numpy(np.stack(waves))
    return compute_log_mels(waves_NT), waves_NT[:, _BESIDE * HOP : -_BESIDE * HOP]


def measure_spectral_distance(made_NT: Tensor, wanted_NT: Tensor) -> Tensor:
    """Return how far the mel spectra of waves are apart, with windows of several lengths.

    Spectral convergence and the distance of the logarithms, as in Yamamoto et al. 2020, Parallel
    WaveGAN, arXiv 1910.11480, in mel bands.
    """
    total = made_NT.new_zeros(())
    for window, bands in _SCALES:
        made, wanted = (_bands(waves, window, bands) for waves in (made_NT, wanted_NT))
        lacking = (made - wanted).flatten(1).norm(dim=1) / wanted.flatten(1).norm(dim=1)
        total = total + lacking.mean() + (made.log() - wanted.log()).abs().mean()
    return total / len(_SCALES)


def _bands(waves_NT: Tensor, window: int, bands: int) -> Tensor:
    """Return the mel spectra of waves, `[N, bands, F]`."""
    import torch

    shape = torch.hann_window(window, device=waves_NT.device)
    size = 2 * window  # twice as fine, so that no band is without a frequency
    spectra = torch.stft(waves_NT, size, window // 4, window, shape, return_complex=True).abs()
    return (make_mel_filters(size, bands).to(waves_NT.device).T @ spectra).clamp(min=_FLOOR)
