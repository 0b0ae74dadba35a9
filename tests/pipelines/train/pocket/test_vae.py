"""The spectrograms that the pocket VAE is trained on."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pipelines.encode.loaders.pocket import WEIGHTS
from pipelines.train.pocket.audioldm_data import FRAMES, HOP, MELS, SoundSampler
from pipelines.train.pocket.vae import compute_mels


@pytest.mark.usefixtures("on_one_thread")
def test_a_crop_is_a_part_of_the_whole_spectrogram(tmp_path: Path) -> None:
    """But for its edges, where the whole has neighbours and the crop has padding."""
    sounds = SoundSampler(tmp_path, 0, WEIGHTS / "clap", 2, 2)

    whole = compute_mels(sounds, [0, 1])
    crop = compute_mels(sounds, [1], 100 * HOP, 64 * HOP)

    assert (2, FRAMES, MELS) == tuple(whole.shape)
    assert (1, 64, MELS) == tuple(crop.shape)
    torch.testing.assert_close(whole[1, 102:162], crop[0, 2:62], atol=1e-3, rtol=0)
