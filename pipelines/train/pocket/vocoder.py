"""Trains the vocoder of the pocket AudioLDM: a HiFiGAN with a spectral loss, without discriminator."""

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
# The initial bank of tones is finely tuned: a rate ten times as high would destroy it first.
RATE = 3e-5
# First a few layers at the frame rate, which learn the loudness of every tone; then one upsampling by 64 to
# 3,200 Hz, whose kernels are grains of two frames; then the high frequencies. Small dilated kernels have the
# receptive field of large ones for two thirds of the work. The strides make exactly 320 samples a frame.
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
# Context frames on both sides of the crop, in the input but not in the loss: edges are inexact.
_CONTEXT = 4
# Window (samples) and mel bands of each scale. A net of 50 frames a second can only hold tones at multiples
# of 50 Hz. In mel bands they count as right; with single frequencies they did not, and it learned to hiss.
_SCALES = ((128, 16), (256, 24), (512, 40), (1024, 64))
_FLOOR = 1e-5


def train_vocoder(sounds: SoundSampler, recipe: Recipe) -> Any:
    """Return the trained vocoder.

    Args:
        sounds: to train on.
        recipe: of the training.
    """
    import torch
    from transformers import SpeechT5HifiGan, SpeechT5HifiGanConfig

    torch.manual_seed(recipe.seed)
    net: Any = SpeechT5HifiGan(SpeechT5HifiGanConfig(**CONFIG))
    tune(net)
    net = net.to(choose_device())
    trainer = Trainer("vocoder", net, RATE, recipe)

    def compute_loss(step: int) -> Tensor:
        rng = np.random.default_rng([recipe.seed, step])
        mels, target = _draw_crops(sounds, recipe.sizes.vocoder_batch, rng)
        # bf16 takes two thirds of the time of fp32, but its rounding noise of -48 dB is too much for the end.
        with set_fast_math(not trainer.is_decaying):
            output = trainer.net(mels.to(choose_device())).float()
        return measure_spectral_distance(
            output[:, _CONTEXT * HOP : -_CONTEXT * HOP], target.to(choose_device())
        )

    trainer.train(compute_loss)
    return trainer.get_averaged_net()


def _draw_crops(sounds: SoundSampler, count: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Return spectrograms with context `[N, F, M]`, and the waves of their crops `[N, T]`."""
    import torch

    waves = []
    for index in rng.choice(len(sounds), count, replace=False):
        first = int(rng.integers(FRAMES - _FRAMES - 2 * _CONTEXT + 1))
        waves.append(sounds.read_wave(int(index), first * HOP, (_FRAMES + 2 * _CONTEXT) * HOP))
    waves_NT = torch.from_numpy(np.stack(waves))
    return compute_log_mels(waves_NT), waves_NT[:, _CONTEXT * HOP : -_CONTEXT * HOP]


def measure_spectral_distance(output_NT: Tensor, target_NT: Tensor) -> Tensor:
    """Return the multi-resolution spectral loss of waves, in mel bands.

    Spectral convergence plus the distance of the log spectra, over several window lengths, as in Yamamoto et
    al. 2020, Parallel WaveGAN, arXiv 1910.11480.
    """
    total = output_NT.new_zeros(())
    for window, bands in _SCALES:
        output, target = (_compute_mels(waves, window, bands) for waves in (output_NT, target_NT))
        convergence = (output - target).flatten(1).norm(dim=1) / target.flatten(1).norm(dim=1)
        total = total + convergence.mean() + (output.log() - target.log()).abs().mean()
    return total / len(_SCALES)


def _compute_mels(waves_NT: Tensor, window: int, bands: int) -> Tensor:
    """Return the mel spectra of waves, `[N, bands, F]`."""
    import torch

    hann = torch.hann_window(window, device=waves_NT.device)
    size = 2 * window  # zero-padded, so that no band is without a frequency bin
    spectra = torch.stft(waves_NT, size, window // 4, window, hann, return_complex=True).abs()
    return (make_mel_filters(size, bands).to(waves_NT.device).T @ spectra).clamp(min=_FLOOR)
