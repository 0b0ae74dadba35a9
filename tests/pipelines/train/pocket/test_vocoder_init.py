"""The initial weights of the pocket vocoder."""

from __future__ import annotations

import numpy as np
import torch

from pipelines.miniature import world
from pipelines.train.pocket import vocoder
from pipelines.train.pocket.audioldm_data import HOP, SAMPLES, compute_log_mels, render_sound
from pipelines.train.pocket.vocoder_init import tune


def test_the_vocoder_begins_as_a_bank_of_tones() -> None:
    """Before any training it plays a spectrogram back: a fifth of its spread off, and as loud."""
    from transformers import SpeechT5HifiGan, SpeechT5HifiGanConfig

    torch.manual_seed(0)
    net = SpeechT5HifiGan(SpeechT5HifiGanConfig(**vocoder.CONFIG))
    waves = np.stack([render_sound(world.draw(3, "heldout", index))[1] for index in range(6)])
    mels = compute_log_mels(torch.from_numpy(waves))
    with torch.inference_mode():
        untuned = compute_log_mels(net(mels)) - mels
        tune(net)
        missed = compute_log_mels(net(mels)) - mels

    assert tuple(untuned.shape) == (6, SAMPLES // HOP, 64)
    assert float(untuned.abs().mean()) > 1
    assert float(missed.abs().mean()) < 0.25
    assert abs(float(missed.mean())) < 0.1
