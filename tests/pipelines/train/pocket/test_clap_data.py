"""Training batches of the pocket CLAP."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.miniature import world
from pipelines.train.pocket.clap_data import (
    ClapSampler,
    audio_attributes,
    augment_sound,
    find_mentioned,
    match_texts,
)


def test_batches_are_of_the_training_split_and_of_their_step() -> None:
    """The same step gives the same batch, and another step another one."""
    batch, again, other = (ClapSampler(0, 8, 40, 12).draw_batch(step) for step in (3, 3, 2))
    assert batch.texts == again.texts
    assert batch.windows.tobytes() == again.windows.tobytes()
    assert batch.texts != other.texts
    assert (8, 1, 288, 32) == batch.windows.shape
    assert np.isfinite(batch.windows).all()
    half = ClapSampler(0, 8, 40, 12).draw_batch(3, slice(4, 8))
    assert np.array_equal(batch.windows[4:], half.windows)
    assert half.texts == batch.texts


def test_windows_vary_within_the_extractors_range() -> None:
    """Whatever is done to a spectrogram, it keeps its shape and is no quieter than silence."""
    mel_FM = np.full((575, 32), -60, np.float16)
    windows = [augment_sound(mel_FM, np.random.default_rng(seed)) for seed in range(50)]
    assert {(288, 32)} == {window.shape for window in windows}
    assert all(-100 <= window.min() and window.max() < -50 for window in windows)
    assert 2 < sum(window[-1].max() == -100 for window in windows) < 20


def test_a_sound_fits_a_text_by_what_the_text_tells() -> None:
    """Kinds exclude each other; each told attribute that differs leaves a third; colour is not heard."""
    scenes = [
        world.Scene("bell", 1, "red", "low", "meadow", 0),
        world.Scene("bell", 2, "blue", "high", "meadow", 0),
        world.Scene("dog", 1, "red", "low", "meadow", 0),
    ]
    of_texts = np.array([[True] * 4, [True, False, True, False], [True] * 4])
    expected = [[1, 1 / 3, 0], [1 / 9, 1, 0], [0, 0, 1]]
    assert np.allclose(expected, match_texts(audio_attributes(scenes), of_texts))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a bell", (True, False, False, False)),
        ("church bell ringing", (True, False, False, False)),
        ("a bell rings twice at a low pitch in a room", (True, True, True, True)),
        ("two big red bells indoors", (True, True, True, True)),
        ("three small bells on a beach", (True, False, False, False)),
    ],
)
def test_what_a_text_tells(text: str, expected: tuple[bool, ...]) -> None:
    """An attribute is told by a word for the scene's own value."""
    scene = world.Scene("bell", 2, "red", "low", "room", 0)
    assert expected == find_mentioned(scene, text)
