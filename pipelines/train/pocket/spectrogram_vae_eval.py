"""Scores the pocket VAE of spectrograms: its ELBO, what the judges hear in its sounds, and whether it copies.

Shapes: N sounds, H bands, S frames of a segment, T samples, K kinds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from pipelines.encode.judge_reader import JudgeReader
from pipelines.encode.loaders.pocket import WEIGHTS
from pipelines.generate.loudness import normalize_loudness
from pipelines.generate.media import encode_sound
from pipelines.generate.vae.generator import VaeGenerator
from pipelines.generate.vae.params import VaeParams
from pipelines.generate.vae.vocoders import AUTO, choose_vocoder
from pipelines.metrics.generated_sounds import (
    copied_share,
    diversity_within_classes,
    log_mel_distance,
    nearest_training_sounds,
)
from pipelines.metrics.intervals import compute_wilson
from pipelines.miniature.world import KINDS, Scene, draw_crossing, draw_heldout
from pipelines.models.spectrogram_front import restore_log_mels
from pipelines.models.vae_files import SpectrogramVae, build_vae, load_vae, make_standard_prior
from pipelines.train.pocket.audioldm_data import SAMPLE_RATE, SAMPLES, render_sound
from pipelines.train.pocket.spectrogram_vae import cut_segments, find_starts, render_spectrogram
from pipelines.train.vae.data import SegmentBatch
from pipelines.train.vae.scores import score_vae

if TYPE_CHECKING:
    from torch import Tensor

ANIMALS = ("bird", "dog", "cat", "frog", "cricket", "bee")
# Five minutes of one core.
_MAX_ROWS = 480
# Of the training sounds that samples are compared with, a sample: 480 rows compare with all.
_TRAINING_A_ROW = 10
_LENGTH_S = SAMPLES / SAMPLE_RATE


def evaluate(weights: Path, seed: int, rows: int) -> dict[str, float]:
    """Return the ELBO of held-out sounds and, for each judge and set of sounds, how often it is right.

    Args:
        weights: the folder of the VAE.
        seed: of the held-out scenes and the samples.
        rows: sounds of each set, 480 at most; their kinds are those of the held-out scenes.

    Returns:
        The scores of `score_vae`, and `log_mel_db`, the mean distance of decoded segments;
        `copied`: the share of samples that are nearer to one of `training` sounds than 99 % of decoded
        held-out sounds; `nearest` and `nearest_held`: the median cosines of both;
        `JUDGE_SET_kind`: the share that is named right, with Wilson's interval as `_low` and `_high`; of
        animals `_animal`, the share that is named as any of them, and `_which`, as the right one;
        `_diversity`: 1 - the mean cosine of two sounds of a kind, by the judge's embedding.
        The sets: `real` (5.12 s), `vocoded` (its whole mel), `segment` (repeated), `decoded` (through the
        latent), `samples` (of the kind, from the fitted law), `learnt` (from the learnt prior), `untrained`.
    """
    vae = load_vae(weights)
    card = vae.card
    scenes = [draw_heldout(seed, index) for index in range(min(rows, _MAX_ROWS))]
    kinds_N = np.array([KINDS.index(scene.kind) for scene in scenes])
    whole = np.stack([render_spectrogram(scene, card.front) for scene in scenes])
    held = _make_batch(whole, kinds_N, vae)
    training = _draw_training(vae, min(sum(card.counts) or _MAX_ROWS, _TRAINING_A_ROW * len(scenes)))
    scores = score_vae(vae.net, card, held, training)
    generator = _open(vae)
    with torch.inference_mode():
        decoded = vae.decode(vae.encode(held.spectrograms, held.classes_N).mean, held.classes_N)
    samples = _sample(generator, scenes, VaeParams())
    torch.manual_seed(0)
    untrained = _open(SpectrogramVae(build_vae(card).eval(), card, make_standard_prior(card)))
    sets = {
        "real": np.stack([render_sound(scene)[1] for scene in scenes]),
        "vocoded": _vocode(generator, torch.from_numpy(whole)),
        "segment": _vocode(generator, held.spectrograms),
        "decoded": _vocode(generator, decoded),
        "samples": _vocode(generator, samples),
        "learnt": _vocode(generator, _sample(generator, scenes, VaeParams(law="learnt"))),
        "untrained": _vocode(untrained, _sample(untrained, scenes, VaeParams())),
    }
    # A decoded mean lacks the texture of real sounds: it is compared with means.
    means = _sample(generator, scenes, VaeParams(texture=0.0))
    scores |= {"log_mel_db": _measure_distance(vae, decoded, held.spectrograms)}
    scores |= _compare_with_training(means, decoded, training)
    rate_hz = card.front.rate_hz
    files = {name: _write(waves, SAMPLE_RATE if name == "real" else rate_hz) for name, waves in sets.items()}
    for folder in sorted((WEIGHTS / "judges").glob("pocket-sound-*")):
        scores |= _judge(folder.name, JudgeReader(folder), files, kinds_N)
    return {name: round(value, 4) for name, value in scores.items()}


def _open(vae: SpectrogramVae) -> VaeGenerator:
    vocode = choose_vocoder(AUTO, vae.card.front, 0.0, 1.0).open(vae.card.front)
    return VaeGenerator(vae, vocode, 8)


def _make_batch(whole: np.ndarray, kinds_N: np.ndarray, vae: SpectrogramVae) -> SegmentBatch:
    """Return the segments of spectrograms, each told its kind if the VAE knows kinds."""
    segments = cut_segments(whole, find_starts(whole, vae.card), vae.card)
    told_N = kinds_N if vae.card.classes else np.zeros_like(kinds_N)
    return SegmentBatch(torch.from_numpy(segments), torch.from_numpy(told_N))


def _draw_training(vae: SpectrogramVae, count: int) -> SegmentBatch:
    scenes = [draw_crossing("crossing", 0, "train", number) for number in range(count)]
    kinds_N = np.array([KINDS.index(scene.kind) for scene in scenes])
    whole = np.stack([render_spectrogram(scene, vae.card.front) for scene in scenes])
    return _make_batch(whole, kinds_N, vae)


def _sample(generator: VaeGenerator, scenes: Sequence[Scene], params: VaeParams) -> Tensor:
    """Return a sample of each scene's kind, `[N, 1, H, S]`; the seed of sound n is n."""
    knows = bool(generator.vae.card.classes)
    made = [
        generator.draw_spectrograms(
            [number], params.model_copy(update={"label": scene.kind if knows else None})
        )
        for number, scene in enumerate(scenes)
    ]
    return torch.cat(made).cpu()


def _vocode(generator: VaeGenerator, spectrograms: Tensor) -> np.ndarray:
    """Return sounds of 5.12 s of spectrograms that are repeated as often, `[N, T]`."""
    card = generator.vae.card
    frames = round(_LENGTH_S * card.front.rate_hz / card.front.hop)
    repeats = -(-frames // spectrograms.shape[3])
    filled = spectrograms.repeat(1, 1, 1, repeats)[..., :frames]
    with torch.inference_mode():
        waves = [generator.vocode(each[None])[0].cpu().numpy() for each in filled]
    return np.stack(waves)


def _measure_distance(vae: SpectrogramVae, one: Tensor, other: Tensor) -> float:
    """Return the mean absolute difference of the amplitudes in dB; of decibels as they are."""
    if vae.card.front.kind == "decibels":
        return float((one - other).abs().mean() * vae.card.front.db_per_unit)
    first, second = (restore_log_mels(each, vae.card.front).exp().numpy() for each in (one, other))
    return float(log_mel_distance(first, second).mean())


def _compare_with_training(samples: Tensor, decoded: Tensor, training: SegmentBatch) -> dict[str, float]:
    units = [_normalize(each) for each in (samples, decoded, training.spectrograms)]
    made_N, held_M = (nearest_training_sounds(each, units[2])[1] for each in units[:2])
    return {
        "copied": copied_share(made_N, held_M),
        "nearest": float(np.median(made_N)),
        "nearest_held": float(np.median(held_M)),
        "training": float(len(units[2])),
    }


def _normalize(spectrograms: Tensor) -> np.ndarray:
    flat = spectrograms.flatten(1).numpy()
    centred = flat - flat.mean(1, keepdims=True)
    return np.asarray(centred / np.linalg.norm(centred, axis=1, keepdims=True))


def _write(waves_NT: np.ndarray, rate_hz: int) -> list[bytes]:
    return [encode_sound(wave_T, rate_hz, "flac") for wave_T in normalize_loudness(waves_NT)]


def _judge(
    name: str, reader: JudgeReader, files: Mapping[str, Sequence[bytes]], kinds_N: np.ndarray
) -> dict[str, float]:
    """Return how often a judge names each set right, and how different the sounds of a kind are."""
    values = np.array(reader.values["kind"])
    scores: dict[str, float] = {}
    truth_N = np.array(KINDS)[kinds_N]
    is_animal_N = np.isin(truth_N, ANIMALS)
    for set_name, own in files.items():
        readings = reader.read(own)
        found_N = values[readings.logits["kind"].argmax(1)]
        right: dict[str, np.ndarray] = {
            "kind": found_N == truth_N,
            "animal": np.isin(found_N, ANIMALS)[is_animal_N],
            "which": (found_N == truth_N)[is_animal_N],
        }
        for key, is_right in right.items():
            low, high = compute_wilson(int(is_right.sum()), len(is_right))
            prefix = f"{name}_{set_name}_{key}"
            share = float(is_right.mean()) if len(is_right) else 0.0
            scores |= {prefix: share, f"{prefix}_low": low, f"{prefix}_high": high}
        units = readings.embedded_NE / np.linalg.norm(readings.embedded_NE, axis=1, keepdims=True)
        spread = diversity_within_classes(units, truth_N)
        scores[f"{name}_{set_name}_diversity"] = float(np.mean([*spread.values()])) if spread else 0.0
    return scores
