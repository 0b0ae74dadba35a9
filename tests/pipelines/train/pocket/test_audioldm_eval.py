"""Scores of the pocket AudioLDM in the repository."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.encode.loaders.pocket import WEIGHTS
from pipelines.train.pocket.audioldm_eval import evaluate, find_clap_folder

AUDIOLDM = WEIGHTS / "audioldm"


def test_a_clap_beside_the_weights_is_preferred(tmp_path: Path) -> None:
    """A pocket AudioLDM is scored by the CLAP that it was trained with; without one by the package's."""
    assert WEIGHTS / "clap" == find_clap_folder(tmp_path / "audioldm")

    (tmp_path / "clap").mkdir()
    (tmp_path / "clap" / "config.json").write_text("{}")
    assert tmp_path / "clap" == find_clap_folder(tmp_path / "audioldm")


@pytest.mark.slow
def test_the_committed_weights_are_heard_as_what_was_asked_for() -> None:
    """Pocket CLAP names the kind of sounds from captions and templates that were never trained on."""
    scores = evaluate(AUDIOLDM, seed=5, rows=48)

    assert scores["real"] > 0.9
    assert scores["vocoded"] > 0.85
    assert scores["decoded"] > 0.85
    assert scores["text"] > 0.75
    assert scores["sound"] > 0.7
    assert scores["guided_away"] < 0.2
