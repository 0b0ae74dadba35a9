"""Sounds: made from the scene alone, telling what the caption tells, and nothing cheaper."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from pipelines.miniature import world
from pipelines.miniature.sounds import SAMPLE_RATE, sound
from pipelines.miniature.world import Scene

SCENE = Scene(kind="bell", count=2, colour="red", pitch="middle", background="night", seed=7)
SEEDS = range(8)


def power_of(wave: NDArray[np.float32]) -> NDArray[np.float64]:
    """Short-time power spectra of every second window of 1,024 samples."""
    frames = np.lib.stride_tricks.sliding_window_view(wave, 1024)[::2048] * np.hanning(1024)
    return np.asarray(np.abs(np.fft.rfft(frames)) ** 2)


def loud_share(wave: NDArray[np.float32]) -> float:
    """Share of a sound's 20 ms frames within 6 dB of the loudest."""
    loudness = np.square(wave).reshape(-1, SAMPLE_RATE // 50).mean(1)
    return float(np.mean(loudness > 0.25 * loudness.max()))


@pytest.mark.parametrize("kind", world.KINDS)
@pytest.mark.parametrize("count", [1, world.MAX_COUNT])
def test_a_sound_is_mono_float_within_full_scale(kind: str, count: int) -> None:
    """Every kind gives finite float32 samples that are neither silent nor clipped."""
    made = sound(replace(SCENE, kind=kind, count=count), 5.0)
    assert made.dtype == np.float32
    assert made.shape == (5 * SAMPLE_RATE,)
    assert np.isfinite(made).all()
    assert 0.09 < np.abs(made).max() <= 1
    assert np.sum(np.abs(made) == np.abs(made).max()) <= 2


@pytest.mark.parametrize("length_s", [0.1, 0.5, 2.56, 10.0, 10.24])
@pytest.mark.parametrize("background", world.BACKGROUNDS)
def test_a_sound_is_as_long_as_asked_for(length_s: float, background: str) -> None:
    """Any length gives exactly its number of samples."""
    scene = replace(SCENE, background=background)
    assert (round(length_s * 48_000),) == sound(scene, length_s).shape


def test_the_same_scene_gives_the_same_bytes() -> None:
    """A row can be made again at any time."""
    made = sound(SCENE)
    assert made.tobytes() == sound(replace(SCENE)).tobytes()
    assert made.tobytes() != sound(replace(SCENE, seed=8)).tobytes()


def test_colour_cannot_be_heard() -> None:
    """Colour is seen only."""
    assert sound(SCENE).tobytes() == sound(replace(SCENE, colour="blue")).tobytes()


@pytest.mark.parametrize("kind", ["siren", "bird", "cricket", "phone", "whistle", "flute"])
def test_pitch_is_heard(kind: str) -> None:
    """The strongest tone rises from low to middle to high."""
    frequencies_hz = np.fft.rfftfreq(1024, 1 / SAMPLE_RATE)
    tones_hz = []
    for pitch in world.PITCHES:
        strongest = []
        for seed in SEEDS:
            power_F = power_of(sound(replace(SCENE, kind=kind, pitch=pitch, seed=seed), 5.0)).mean(0)
            # Below 250 Hz the background is louder than the tone.
            strongest.append(frequencies_hz[np.argmax(power_F * (frequencies_hz > 250))])
        tones_hz.append(float(np.median(strongest)))
    low_hz, middle_hz, high_hz = tones_hz
    assert 1.2 * low_hz < middle_hz < high_hz / 1.2


@pytest.mark.parametrize("kind", ["dog", "frog", "horn", "phone"])
def test_count_is_heard(kind: str) -> None:
    """More things sound for more of the time."""
    one, two, four = (
        np.mean([loud_share(sound(replace(SCENE, kind=kind, count=count, seed=seed))) for seed in SEEDS])
        for count in (1, 2, 4)
    )
    assert 1.2 * one < two < four / 1.2


def test_every_background_has_its_own_noise() -> None:
    """With all else equal, one place sounds unlike any other between the events."""
    quiet = []
    for background in world.BACKGROUNDS:
        power = power_of(sound(replace(SCENE, kind="drum", count=1, background=background)))
        floor_F = np.percentile(power, 20, axis=0)
        bands_db = [10 * np.log10(part.mean()) for part in np.array_split(floor_F[1:256], 8)]
        quiet.append(np.array(bands_db) - np.mean(bands_db))
    for i, one in enumerate(quiet):
        assert all(np.abs(one - other).max() > 2 for other in quiet[:i])


def test_a_mean_spectrum_does_not_tell_the_kind() -> None:
    """Nearest class mean over mean spectra stays far below one half."""
    spectra: dict[str, list[NDArray[np.float64]]] = {"train": [], "heldout": []}
    kinds: dict[str, list[str]] = {"train": [], "heldout": []}
    for split, rows in (("train", 288), ("heldout", 144)):
        for index in range(rows):
            scene = world.draw(1, split, index)
            spectra[split].append(power_of(sound(scene, 5.0))[:, 1:300])
            kinds[split].append(scene.kind)
    for feature in (
        lambda power: (mean := np.log10(power + 1e-10).mean(0)) - mean.mean(),
        lambda power: (mean := power.mean(0)) / np.linalg.norm(mean),
    ):
        known, unknown = (np.array([feature(p) for p in spectra[s]]) for s in ("train", "heldout"))
        means = np.array([known[np.array(kinds["train"]) == kind].mean(0) for kind in world.KINDS])
        nearest = ((unknown[:, None] - means[None]) ** 2).sum(-1).argmin(1)
        right = np.mean([world.KINDS[k] == kind for k, kind in zip(nearest, kinds["heldout"], strict=True)])
        assert right < 0.45
