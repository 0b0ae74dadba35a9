"""Trains the vocoder of the pocket AudioLDM: a HiFiGAN with a spectral loss, without discriminator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipelines.train.distributed import WorkerGroup
from pipelines.train.pocket.audioldm_data import (
    FRAMES,
    HOP,
    MELS,
    SAMPLE_RATE,
    SoundSampler,
    compute_log_mels,
    make_mel_filters,
)
from pipelines.train.pocket.sound_task import SoundTask
from pipelines.train.pocket.vocoder_init import tune
from pipelines.train.task import StepDraw, StepLoss

if TYPE_CHECKING:
    from torch import Tensor, nn

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


@dataclass
class PocketVocoder(SoundTask):
    """The task: spectrograms of crops to their waves."""

    def build(self, seed: int) -> nn.Module:  # noqa: ARG002 - the trainer has set it
        """Return a HiFiGAN whose first weights are a bank of tones."""
        from transformers import SpeechT5HifiGan, SpeechT5HifiGanConfig

        net: nn.Module = SpeechT5HifiGan(SpeechT5HifiGanConfig(**CONFIG))
        tune(net)
        return net

    def make_batch(self, step: int, group: WorkerGroup) -> dict[str, Tensor]:
        """Return spectrograms with context `[n, F, M]`, and the waves of their crops `[n, T]`."""
        indices, rng = self.draw_sounds(step)
        mels, target = _draw_crops(self.sounds, indices, rng, group.slice_batch(len(indices)))
        return {"mels": mels.to(self.context.device), "target": target.to(self.context.device)}

    def compute_loss(
        self, net: nn.Module, batch: Mapping[str, Tensor], draw: StepDraw, group: WorkerGroup
    ) -> StepLoss:
        """Return the spectral distance of the crops."""
        # bf16 takes two thirds of the time of fp32, but its rounding noise of -48 dB is too much for the end.
        with draw.use_autocast(not draw.is_falling):
            output = net(batch["mels"]).float()
        crops = output[:, _CONTEXT * HOP : -_CONTEXT * HOP]
        return StepLoss(measure_spectral_distance(crops, batch["target"]) / group.size)

    def save(self, net: nn.Module, folder: Path) -> None:
        """Write a folder that transformers loads."""
        vocoder: Any = net
        vocoder.save_pretrained(folder)


def _draw_crops(
    sounds: SoundSampler, indices: NDArray[np.int64], rng: np.random.Generator, rows: slice
) -> tuple[Tensor, Tensor]:
    """Return spectrograms with context `[n, F, M]`, and the waves of their crops `[n, T]`.

    Args:
        sounds: to crop.
        indices: of the whole batch.
        rng: of the step.
        rows: of the batch to return.
    """
    import torch

    firsts = [int(rng.integers(FRAMES - _FRAMES - 2 * _CONTEXT + 1)) for _ in indices]
    waves = [
        sounds.read_wave(int(index), first * HOP, (_FRAMES + 2 * _CONTEXT) * HOP)
        for index, first in list(zip(indices, firsts, strict=True))[rows]
    ]
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


TASKS = {"pocket_vocoder": PocketVocoder}
