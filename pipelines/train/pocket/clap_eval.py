"""Scores a pocket CLAP by retrieval on held-out scenes, beside mean spectra."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.encode.encoder import encode
from pipelines.encode.loaders.transformers_clap import TransformersClap
from pipelines.miniature import captions, world
from pipelines.miniature.clips import transcode_aac
from pipelines.miniature.sounds import SAMPLE_RATE, sound
from pipelines.miniature.world import Scene

_BATCH_ROWS = 32
_ATTRIBUTE_ROWS = 100  # of the gallery; each takes 13 queries


def evaluate(weights: Path, seed: int, rows: int, *, aac: bool = False) -> dict[str, float]:
    """Return retrieval scores of a pocket CLAP on held-out scenes, and those of mean spectra.

    `rows` sounds of 10 s, as a dataset stores them (FLAC), are looked up with the captions of `rows`
    other scenes, and the other way round. A hit is right if it sounds like or names the
    kind of the query.

    Args:
        weights: the folder.
        seed: of the scenes; any but the one trained from.
        rows: size of the gallery.
        aac: whether the sounds go through AAC at 96 kbit/s, as in clips of the web.

    Returns:
        `text_to_sound_r1`, `sound_to_text_r1`: share of queries whose first hit is right;
        `text_to_sound_top10`, `sound_to_text_top10`: mean share of right hits among the first ten;
        `picture_text_to_sound_r1`, `..._top10`: the same with captions of pictures;
        `label_accuracy`: share of sounds whose nearest label is right;
        `pitch`, `count`, `background`: share of sounds for which the caption with the right word lies
        nearer than those with any other;
        `mean_log_spectrum`, `mean_power_spectrum`: share of sounds whose nearest class mean is right.
    """
    gallery = [world.draw(seed, "heldout", i) for i in range(rows)]
    queries = [world.draw(seed, "heldout", i) for i in range(rows, 2 * rows)]
    model = _Model(weights)
    mels = [model.prepare(encode_flac(scene, aac=aac)) for scene in gallery]
    audio_ND = model.encode_sounds(mels)
    text_ND = model.encode_texts([captions.caption(s, "sound", "heldout") for s in queries])
    picture_text_ND = model.encode_texts([captions.caption(s, "picture", "heldout") for s in queries])
    right = np.array([[a.kind == g.kind for g in gallery] for a in queries])
    scores: dict[str, float] = {}
    for name, cosines, hits in (
        ("text_to_sound", text_ND @ audio_ND.T, right),
        ("sound_to_text", audio_ND @ text_ND.T, right.T),
        ("picture_text_to_sound", picture_text_ND @ audio_ND.T, right),
    ):
        first = np.take_along_axis(hits, np.argsort(-cosines, axis=1)[:, :10], axis=1)
        scores[f"{name}_r1"] = float(first[:, 0].mean())
        scores[f"{name}_top10"] = float(first.mean())
    nearest = (audio_ND @ model.encode_texts([captions.label(kind) for kind in world.KINDS]).T).argmax(1)
    kinds = np.array([world.KINDS.index(scene.kind) for scene in gallery])
    scores["label_accuracy"] = float(np.mean(nearest == kinds))
    scores["pitch"] = _score_attribute(model, gallery, audio_ND, "pitch", world.PITCHES)
    scores["count"] = _score_attribute(model, gallery, audio_ND, "count", range(1, world.MAX_COUNT + 1))
    scores["background"] = _score_attribute(model, gallery, audio_ND, "background", world.BACKGROUNDS)
    fitted = [world.draw(seed, "train", i) for i in range(rows)]
    fitted_mels = [model.prepare(encode_flac(scene)) for scene in fitted]
    return scores | _score_trivial_features(fitted, fitted_mels, gallery, mels)


class _Model:
    """A pocket CLAP as datasets load it."""

    def __init__(self, weights: Path) -> None:
        towers = TransformersClap(str(weights), None, "fp32", _BATCH_ROWS).load()
        self._audio, self._text = towers["audio"], towers["text"]

    def prepare(self, flac: bytes) -> NDArray[np.float32]:
        """Return the log-mel spectrograms of a sound's windows, `[P, 1, T, M]`."""
        return self._audio.prepare(flac)

    def encode_sounds(self, mels: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        """Return unit vectors `[N, 512]`."""
        return encode(self._audio, mels, _BATCH_ROWS)[0]

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return unit vectors `[N, 512]`."""
        return encode(self._text, [self._text.prepare(text) for text in texts], _BATCH_ROWS)[0]


def encode_flac(scene: Scene, *, aac: bool = False) -> bytes:
    """Return the sound of a scene as FLAC, after AAC if `aac`."""
    import soundfile

    with io.BytesIO() as file:
        soundfile.write(file, sound(scene), SAMPLE_RATE, format="FLAC", subtype="PCM_16")
        flac = file.getvalue()
    return transcode_aac(flac) if aac else flac


def _score_attribute(
    model: _Model,
    scenes: Sequence[Scene],
    audio_ND: NDArray[np.float32],
    attribute: str,
    values: Sequence[Any],
) -> float:
    """Return how often the caption with the right value of an attribute is the nearest."""
    queries = []
    for row, scene in enumerate(scenes[:_ATTRIBUTE_ROWS]):
        others = [replace(scene, **{attribute: value}) for value in values]
        texts = [captions.caption(other, "sound", "heldout") for other in others]
        if len(set(texts)) > 1:  # not every caption mentions it
            queries.append((row, values.index(getattr(scene, attribute)), texts))
    rows, true_values, texts_NV = zip(*queries, strict=True)
    text_ND = model.encode_texts([text for texts_V in texts_NV for text in texts_V])
    text_NVD = text_ND.reshape(len(rows), len(values), -1)
    nearest_N = np.einsum("nvd,nd->nv", text_NVD, audio_ND[list(rows)]).argmax(1)
    return float(np.mean(nearest_N == np.array(true_values)))


def _score_trivial_features(
    fitted: Sequence[Scene],
    known: Sequence[NDArray[np.float32]],
    scenes: Sequence[Scene],
    unknown: Sequence[NDArray[np.float32]],
) -> dict[str, float]:
    """Return the accuracy of a nearest-class-mean classifier on mean spectra of training scenes.

    Both spectra are normalised by loudness, which only raises the accuracy.
    """
    known_kinds = np.array([scene.kind for scene in fitted])
    true_kinds = np.array([scene.kind for scene in scenes])
    scores = {}
    for name, spectrum in (
        ("mean_log_spectrum", _compute_mean_log),
        ("mean_power_spectrum", _compute_mean_power),
    ):
        known_NM, unknown_NM = (np.array([spectrum(mels) for mels in sounds]) for sounds in (known, unknown))
        names = np.unique(known_kinds)
        means = np.array([known_NM[known_kinds == kind].mean(0) for kind in names])
        distances = ((unknown_NM[:, None] - means[None]) ** 2).sum(-1)
        scores[name] = float(np.mean(names[distances.argmin(1)] == true_kinds))
    return scores


def _compute_mean_log(mels_db: NDArray[np.float32]) -> NDArray[np.float32]:
    mean_M = mels_db.mean(axis=(0, 1, 2))
    return np.asarray(mean_M - mean_M.mean(), np.float32)


def _compute_mean_power(mels_db: NDArray[np.float32]) -> NDArray[np.float32]:
    mean_M = (10 ** (mels_db.astype(np.float64) / 10)).mean(axis=(0, 1, 2))
    return np.asarray(mean_M / np.linalg.norm(mean_M), np.float32)
