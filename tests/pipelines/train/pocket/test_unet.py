"""The conditions and the latents that the pocket UNet is trained on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipelines.encode.loaders.pocket import WEIGHTS
from pipelines.train.pocket.audioldm_data import SoundSampler
from pipelines.train.pocket.unet import draw_conditions


@pytest.mark.usefixtures("on_one_thread")
def test_conditions_are_unit_vectors_of_sounds_captions_or_nothing(tmp_path: Path) -> None:
    """Noisy ones still point where they should; a tenth is the vector of ""."""
    sounds = SoundSampler(tmp_path, 0, WEIGHTS / "clap", 12, 8)
    indices = np.repeat(np.arange(12), 50)
    made_ND = draw_conditions(sounds, indices, np.random.default_rng(0))

    np.testing.assert_allclose(np.linalg.norm(made_ND, axis=1), 1, rtol=1e-5)
    silent = (made_ND == sounds.unconditional_D).all(axis=1)
    assert 0.05 < silent.mean() < 0.16
    heard_N = (made_ND * sounds.audio_ND[indices]).sum(1)
    said_N = (made_ND[:, None] * sounds.text_NCD[indices]).sum(-1).max(1)
    assert np.maximum(heard_N, said_N)[~silent].min() > 0.6
