"""Scores of the pocket CLAP in the repository, and the AAC that its sounds go through before."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipelines.miniature import world
from pipelines.train.pocket import clap
from pipelines.train.pocket.clap_eval import encode_flac, evaluate

WEIGHTS = Path(clap.__file__).parents[2] / "miniature" / "weights" / "clap"


@pytest.mark.slow
def test_the_committed_weights_find_the_right_kind() -> None:
    """On held-out draws and templates, both ways, through the loader of datasets."""
    scores = evaluate(WEIGHTS, seed=5, rows=240)
    assert scores["text_to_sound_r1"] > 0.9
    assert scores["sound_to_text_r1"] > 0.9
    assert scores["picture_text_to_sound_r1"] > 0.9
    assert scores["text_to_sound_top10"] > 0.8
    assert scores["sound_to_text_top10"] > 0.8
    assert scores["pitch"] > 0.5
    assert scores["background"] > 0.6
    assert scores["mean_log_spectrum"] < 0.5
    assert scores["mean_power_spectrum"] < 0.5


@pytest.mark.slow
def test_the_committed_weights_hear_through_aac() -> None:
    """Clips of the web are AAC: 96 kbit/s costs next to nothing."""
    scores = evaluate(WEIGHTS, seed=6, rows=240, aac=True)
    assert scores["text_to_sound_r1"] > 0.9
    assert scores["sound_to_text_r1"] > 0.9


def test_aac_keeps_the_sound() -> None:
    """What comes out of an mp4 is as long, but for one AAC frame, and as loud."""
    import io

    import soundfile

    scene = world.draw(0, "heldout", 1)
    (given, rate_hz), (kept, kept_hz) = (
        soundfile.read(io.BytesIO(encode_flac(scene, aac=aac)), dtype="float32") for aac in (False, True)
    )
    assert rate_hz == kept_hz == 48_000
    assert abs(len(given) - len(kept)) <= 1024
    assert 0.8 < np.square(kept).mean() / np.square(given).mean() < 1.25
