"""Training batches of the pocket CLAP: windows of sounds, texts, and soft targets for each sound and text."""

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
UNKNOWN = "<unk>"  # the token of words outside the world's vocabulary

# 8 kHz is the limit of a generator at 16 kHz; 1,024 samples still resolve the lowest of 32 mel bands; with
# this hop 5 s are 288 frames, which the audio tower takes without resizing.
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
# Audible attributes and their values; a text mentions the first and some of the others.
ATTRIBUTES: dict[str, tuple[Any, ...]] = {
    "kind": world.KINDS,
    "pitch": world.PITCHES,
    "count": tuple(range(1, world.MAX_COUNT + 1)),
    "background": world.BACKGROUNDS,
}
_SILENCE_DB = -100.0  # the feature extractor's floor


@dataclass(frozen=True, slots=True)
class ClapBatch:
    """A worker's share of the batch of one step, n of N pairs.

    Attributes:
        windows: float32 `[n, 1, FRAMES, MELS]`, dB.
        texts: `N` captions, of all workers.
        values: int64 `[N, 4]`; the sounds' attributes, as positions in the values of `ATTRIBUTES`.
        mentioned: bool `[N, 4]`; which attributes the text mentions.
        targets: float32 `[N, N]`; how well sound i matches text j, 0 to 1.
    """

    windows: NDArray[np.float32]
    texts: list[str]
    values: NDArray[np.int64]
    mentioned: NDArray[np.bool_]
    targets: NDArray[np.float32]


class ClapSampler:
    """Draws batches from the first scenes of the training split.

    Args:
        seed: of scenes and batches.
        batch: pairs a step, of all workers.
        draws: scenes.
        kinds: of things in a batch.
    """

    def __init__(self, seed: int, batch: int, draws: int, kinds: int) -> None:
        self._seed, self._batch, self._kinds = seed, batch, kinds
        self._scenes = [world.draw(seed, "train", index) for index in range(draws)]
        self._mels: dict[int, NDArray[np.float16]] = {}

    def draw_batch(self, step: int, rows: slice | None = None) -> ClapBatch:
        """Return a share of the batch of a step; it depends on the seed, the sizes and the step alone.

        Args:
            step: from 0.
            rows: of the share; the whole batch if None.
        """
        rng = np.random.default_rng([self._seed, step])
        kinds = rng.choice(world.KINDS, self._kinds, replace=False)
        pool = np.flatnonzero(np.isin([scene.kind for scene in self._scenes], kinds))
        indices = rng.choice(pool, self._batch, replace=False).tolist()
        scenes = [self._scenes[index] for index in indices]
        texts, mentioned = zip(*(_draw_text(scene, rng) for scene in scenes), strict=True)
        # Every window is drawn, also those of other workers: the stream is that of the whole batch.
        windows = [augment_sound(self._compute_mel(index), rng) for index in indices]
        values_N4, mentioned_N4 = audio_attributes(scenes), np.array(mentioned)
        own = np.stack(windows[rows or slice(None)])[:, None]
        return ClapBatch(own, list(texts), values_N4, mentioned_N4, match_texts(values_N4, mentioned_N4))

    def _compute_mel(self, index: int) -> NDArray[np.float16]:
        """Return the log-mel spectrogram of a whole clip, `[F, MELS]` in dB."""
        if index not in self._mels:
            wave = sound(self._scenes[index], CLIP_S)
            features = self._extract(wave, max_length=len(wave), sampling_rate=SAMPLE_RATE)
            self._mels[index] = np.asarray(features["input_features"][0][0], np.float16)
        return self._mels[index]

    @cached_property
    def _extract(self) -> Any:
        from transformers import ClapFeatureExtractor

        return ClapFeatureExtractor(**FEATURES)


def augment_sound(mel_FM: NDArray[np.float16], rng: np.random.Generator) -> NDArray[np.float32]:
    """Return a random window of a spectrogram, `[FRAMES, MELS]`, with random gain, gaps and length."""
    start = int(rng.integers(len(mel_FM) - FRAMES + 1))
    window = mel_FM[start : start + FRAMES].astype(np.float32)
    window += rng.uniform(-4, 4) + rng.uniform(-4, 4) * np.linspace(-1, 1, MELS)
    frame, mel = int(rng.integers(FRAMES)), int(rng.integers(MELS))
    window[frame : frame + int(rng.integers(1, 40))] = window.mean(axis=0)
    window[:, mel : mel + int(rng.integers(1, 4))] = window.mean()
    if rng.random() < 0.15:
        # The extractor's repeatpad: whole repeats, then silence; a sound of over 2.5 s fits once.
        length = int(rng.integers(FRAMES // 3, FRAMES))
        window = np.tile(window[:length], (FRAMES // length, 1))
        rest = ((0, FRAMES - len(window)), (0, 0))
        window = np.pad(window, rest, constant_values=_SILENCE_DB)
    return window


def audio_attributes(scenes: Sequence[Scene]) -> NDArray[np.int64]:
    """Return the audible attributes of scenes, `[N, 4]`, as positions in the values of `ATTRIBUTES`."""
    return np.array(
        [[known.index(getattr(scene, name)) for name, known in ATTRIBUTES.items()] for scene in scenes]
    )


def match_texts(values_N4: NDArray[np.int64], mentioned_N4: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return soft targets `[N, N]`: 0 between kinds, else 3 to minus the mentioned attributes that differ.

    One-hot targets would push the other right answers of a batch away from the query.

    Args:
        values_N4: attributes of the sounds.
        mentioned_N4: which of them text j mentions.
    """
    differ = values_N4[:, None] != values_N4[None]
    mentioned_differ = (differ & mentioned_N4[None])[..., 1:].sum(-1)
    return np.asarray(~differ[..., 0] * 3.0**-mentioned_differ, np.float32)


def _draw_text(scene: Scene, rng: np.random.Generator) -> tuple[str, tuple[bool, ...]]:
    """Return a text about a scene, and which attributes it mentions."""
    which = rng.random()
    variant = int(rng.integers(1 << 30))
    if which < 0.6:
        text = captions.caption(scene, "sound", "train", variant)
    elif which < 0.9:
        # The text tower also encodes the captions of pictures.
        text = captions.caption(scene, "picture", "train", variant)
    else:
        text = captions.label(scene.kind) if which < 0.95 else scene.kind
    words = [UNKNOWN if rng.random() < 0.04 else word for word in text.split()]
    # Queries may begin with words that no caption has ("find me ...").
    opening = [UNKNOWN] * int(rng.integers(1, 4)) if rng.random() < 0.15 else []
    return " ".join(opening + words), find_mentioned(scene, text)


def find_mentioned(scene: Scene, text: str) -> tuple[bool, ...]:
    """Return which of `ATTRIBUTES` a text about a scene mentions, by their words; the kind always."""
    phrases = (
        (*TONES[scene.pitch], *filter(None, SIZES[scene.pitch])),
        (TIMES[scene.count - 1], COUNTS[scene.count - 1]),
        (*HEARD_WHERE[scene.background], *SEEN_WHERE[scene.background]),
    )
    words = f" {re.sub('[^a-z ]', '', text)} "
    return (True, *(any(f" {phrase} " in words for phrase in group) for group in phrases))
