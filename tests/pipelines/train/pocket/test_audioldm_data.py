"""Training data of the pocket AudioLDM."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from pipelines.encode.loaders.pocket import WEIGHTS
from pipelines.miniature import world
from pipelines.train.pocket.audioldm_data import (
    HOP,
    SAMPLE_RATE,
    SAMPLES,
    SoundSampler,
    compute_log_mels,
    render_sound,
)


@pytest.mark.usefixtures("on_one_thread")
def test_rendered_blocks_are_not_rendered_again(tmp_path: Path) -> None:
    """A second sampler reads the folder of the first: the same vectors, and the sounds of both blocks."""
    first = SoundSampler(tmp_path, 0, WEIGHTS / "clap", 3, 2)
    written = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.npy")}
    again = SoundSampler(tmp_path, 0, WEIGHTS / "clap", 3, 2)

    assert 8 == len(written)
    assert written == {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.npy")}
    assert 3 == len(again)
    np.testing.assert_array_equal(first.audio_ND, again.audio_ND)
    wave = render_sound(world.draw(0, "train", 2))[1]
    np.testing.assert_allclose(wave[100:200], again.read_wave(2, 100, 100), atol=1 / 32767)


@pytest.mark.parametrize("length_s", [0.64, 5.12], ids=str)
def test_a_spectrogram_has_a_frame_for_every_hop(length_s: float) -> None:
    """Frames are as many as the vocoder makes samples of, and of about mean 0 and spread 1."""
    waves = [render_sound(world.draw(3, "heldout", index))[1] for index in range(8)]
    samples = round(length_s * SAMPLE_RATE)

    mels = compute_log_mels(torch.from_numpy(np.stack(waves)[:, :samples]))

    assert (8, samples // HOP, 64) == tuple(mels.shape)
    assert abs(float(mels.mean())) < 0.5
    assert 0.6 < float(mels.std()) < 1.4


def test_a_sound_is_heard_equally_loud_at_both_rates() -> None:
    """What pocket CLAP hears and what the nets learn are one sound, peaking at 0.7."""
    full, wave = render_sound(world.draw(0, "train", 4))

    assert (3 * SAMPLES, SAMPLES) == (len(full), len(wave))
    assert pytest.approx(0.7, abs=1e-6) == np.abs(full).max()
    kept = np.corrcoef(full[::3], wave)[0, 1]
    assert kept > 0.5
