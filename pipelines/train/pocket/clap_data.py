"""What the pocket CLAP learns from: windows of sounds, texts, and how well each sound fits each text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.miniature import captions, world
from pipelines.miniature.sounds import SAMPLE_RATE, sound
from pipelines.miniature.words import COUNTS, HEARD_WHERE, SEEN_WHERE, SIZES, TIMES, TONES
from pipelines.miniature.world import Scene

CLIP_S, WINDOW_S = 10, 5
MELS, FRAMES = 32, 288
UNKNOWN = "<unk>"  # stands for any word that the world does not use

# 8 kHz is all that a generator at 16 kHz can make; 1,024 samples still tell the lowest of 32 mel bands
# apart; with this hop 5 s are 288 frames, which the audio tower takes without resizing.
FEATURES: dict[str, Any] = {
    "feature_size": MELS,
    "sampling_rate": SAMPLE_RATE,
    "hop_length": 836,
    "max_length_s": WINDOW_S,
    "fft_window_size": 1024,
    "frequency_min": 50,
    "frequency_max": 8000,
    "truncation": "rand_trunc",
    "padding": "repeatpad",
}
# What a sound tells; a text tells the first and some of the others.
HEARD: dict[str, tuple[Any, ...]] = {
    "kind": world.KINDS,
    "pitch": world.PITCHES,
    "count": tuple(range(1, world.MAX_COUNT + 1)),
    "background": world.BACKGROUNDS,
}
_SILENCE_DB = -100.0  # the feature extractor's floor


@dataclass(frozen=True, slots=True)
class ClapSizes:
    """How much a training of the pocket CLAP handles at a time; the defaults made the shipped weights.

    Attributes:
        batch: pairs that a step learns from.
        draws: sounds that batches are drawn from: each is made when first needed and kept (37 kB each).
        kinds_a_batch: of 24. Eight sounds a kind make pitch, count and background worth telling; with all
            kinds in a batch they stayed unheard.
        checkpoint_every: steps.
    """

    batch: int = 64
    draws: int = 8_000
    kinds_a_batch: int = 8
    checkpoint_every: int = 100


@dataclass(frozen=True, slots=True)
class ClapBatch:
    """What one step learns from.

    Attributes:
        windows: float32 `[N, 1, FRAMES, MELS]`, dB.
        texts: `N` captions.
        values: int64 `[N, 4]`; what is heard, as places in the lists of `HEARD`.
        told: bool `[N, 4]`; which of that the text tells.
        fits: float32 `[N, N]`; how well sound i fits text j, 0 to 1.
    """

    windows: NDArray[np.float32]
    texts: list[str]
    values: NDArray[np.int64]
    told: NDArray[np.bool_]
    fits: NDArray[np.float32]


class ClapSampler:
    """The training split's first `sizes.draws` scenes, and the batches made of them."""

    def __init__(self, seed: int, sizes: ClapSizes) -> None:
        self._seed, self._sizes = seed, sizes
        self._scenes = [world.draw(seed, "train", index) for index in range(sizes.draws)]
        self._mels: dict[int, NDArray[np.float16]] = {}

    def draw_batch(self, step: int) -> ClapBatch:
        """Return the batch of a step; it depends on the seed, the sizes and the step alone."""
        rng = np.random.default_rng([self._seed, step])
        chosen = rng.choice(world.KINDS, self._sizes.kinds_a_batch, replace=False)
        pool = np.flatnonzero(np.isin([scene.kind for scene in self._scenes], chosen))
        indices = rng.choice(pool, self._sizes.batch, replace=False).tolist()
        scenes = [self._scenes[index] for index in indices]
        texts, telling = zip(*(_text(scene, rng) for scene in scenes), strict=True)
        windows = np.stack([vary_sound(self._mel(index), rng) for index in indices])[:, None]
        values_N4, told_N4 = find_audible(scenes), np.array(telling)
        return ClapBatch(windows, list(texts), values_N4, told_N4, match_texts(values_N4, told_N4))

    def _mel(self, index: int) -> NDArray[np.float16]:
        """Return the log-mel spectrogram of a whole clip, `[F, MELS]` in dB."""
        if index not in self._mels:
            wave = sound(self._scenes[index], CLIP_S)
            made = self._extract(wave, max_length=len(wave), sampling_rate=SAMPLE_RATE)
            self._mels[index] = np.asarray(made["input_features"][0][0], np.float16)
        return self._mels[index]

    @cached_property
    def _extract(self) -> Any:
        from transformers import ClapFeatureExtractor

        return ClapFeatureExtractor(**FEATURES)


def vary_sound(mel_FM: NDArray[np.float16], rng: np.random.Generator) -> NDArray[np.float32]:
    """Return a window of a spectrogram, `[FRAMES, MELS]`: louder or softer, with gaps, at times short."""
    start = int(rng.integers(len(mel_FM) - FRAMES + 1))
    window = mel_FM[start : start + FRAMES].astype(np.float32)
    window += rng.uniform(-4, 4) + rng.uniform(-4, 4) * np.linspace(-1, 1, MELS)
    frame, mel = int(rng.integers(FRAMES)), int(rng.integers(MELS))
    window[frame : frame + int(rng.integers(1, 40))] = window.mean(axis=0)
    window[:, mel : mel + int(rng.integers(1, 4))] = window.mean()
    if rng.random() < 0.15:
        # The extractor's repeatpad: a sound of 2.5 s fits once and silence follows.
        length = int(rng.integers(FRAMES // 3, FRAMES))
        window = np.tile(window[:length], (FRAMES // length, 1))
        rest = ((0, FRAMES - len(window)), (0, 0))
        window = np.pad(window, rest, constant_values=_SILENCE_DB)
    return window


def find_audible(scenes: Sequence[Scene]) -> NDArray[np.int64]:
    """Return what is heard of scenes, `[N, 4]`, as places in the lists of `HEARD`."""
    return np.array([[of.index(getattr(scene, name)) for name, of in HEARD.items()] for scene in scenes])


def match_texts(values_N4: NDArray[np.int64], told_N4: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return how well sound i fits text j, `[N, N]`: 0 between kinds, a third for each told difference.

    One-hot targets would push the other right answers of a batch away from the question.
    """
    differ = values_N4[:, None] != values_N4[None]
    told_differ = (differ & told_N4[None])[..., 1:].sum(-1)
    return np.asarray(~differ[..., 0] * 3.0**-told_differ, np.float32)


def _text(scene: Scene, rng: np.random.Generator) -> tuple[str, tuple[bool, ...]]:
    """Return a text about a scene and what it tells."""
    which = rng.random()
    variant = int(rng.integers(1 << 30))
    if which < 0.6:
        text = captions.caption(scene, "sound", "train", variant)
    elif which < 0.9:
        # The captions of pictures go through the text tower, too.
        text = captions.caption(scene, "picture", "train", variant)
    else:
        text = captions.label(scene.kind) if which < 0.95 else scene.kind
    words = [UNKNOWN if rng.random() < 0.04 else word for word in text.split()]
    # A question opens with words that no caption has ("find me ...").
    opening = [UNKNOWN] * int(rng.integers(1, 4)) if rng.random() < 0.15 else []
    return " ".join(opening + words), find_mentioned(scene, text)


def find_mentioned(scene: Scene, text: str) -> tuple[bool, ...]:
    """Return which of `HEARD` a text about a scene tells, by the words for it; the kind always."""
    phrases = (
        (*TONES[scene.pitch], *filter(None, SIZES[scene.pitch])),
        (TIMES[scene.count - 1], COUNTS[scene.count - 1]),
        (*HEARD_WHERE[scene.background], *SEEN_WHERE[scene.background]),
    )
    words = f" {re.sub('[^a-z ]', '', text)} "
    return (True, *(any(f" {phrase} " in words for phrase in of) for of in phrases))
