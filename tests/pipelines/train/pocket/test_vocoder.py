"""The loss of the pocket vocoder."""

from __future__ import annotations

import pytest
import torch

from pipelines.train.pocket.audioldm_data import SAMPLE_RATE
from pipelines.train.pocket.vocoder import measure_spectral_distance


def test_spectra_tell_waves_apart() -> None:
    """A wave is at no distance from itself and none from its mirror image; noise is far from a tone."""
    times = torch.arange(16_000) / SAMPLE_RATE
    tone = torch.sin(2 * torch.pi * 440 * times)[None]
    noise = torch.randn(1, 16_000, generator=torch.Generator().manual_seed(0))

    assert float(measure_spectral_distance(tone, tone)) == 0
    assert float(measure_spectral_distance(-tone, tone)) == pytest.approx(0, abs=1e-6)
    assert float(measure_spectral_distance(noise, tone)) > 2
