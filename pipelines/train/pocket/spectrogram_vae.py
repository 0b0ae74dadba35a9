"""Trains the pocket VAE of spectrograms: segments of drawn sounds of all kinds, told what they are of."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from pipelines.encode.vae_segments import compute_spectrogram, find_onset, measure_loudness, normalize_wave
from pipelines.miniature.world import KINDS, Scene, Split, draw_crossing
from pipelines.train.distributed import WorkerGroup
from pipelines.train.pocket.audioldm_data import SAMPLES, render_sound
from pipelines.train.task import TaskContext
from pipelines.train.vae.data import SegmentBatch
from pipelines.train.vae.task import VaeTask
from schemas.spectrogram_vae import SpectrogramFront, VaeCard

# Scenes of a file of the cache: ten seconds of one core.
_BLOCK = 250


@dataclass
class PocketSpectrogramVae(VaeTask):
    """The task `pocket_spectrogram_vae`.

    Attributes:
        scenes: with a sound each: 4,000 take two minutes of one core to make.
        held: scenes of combinations that are not trained on.
        jitter: frames that a segment begins earlier or later, drawn for each batch.
        told: whether the net is told kinds; the seed's is not.
    """

    scenes: int = 4_000
    held: int = 240
    jitter: int = 2
    told: bool = True
    half: bool = True

    def read_data(self, context: TaskContext, draft: VaeCard) -> DrawnSegments:
        """Draw the scenes, and render the sounds that are not cached yet."""
        folder = context.folder / "vae-sounds"
        train = read_sounds(folder, "train", self.scenes, draft.front)
        held = read_sounds(folder, "heldout", self.held, draft.front)
        return DrawnSegments(train, held, draft, context, self)


class DrawnSegments:
    """Segments of drawn sounds: see `VaeData`.

    Args:
        train: spectrograms of sounds, float16 `[N, 1, H, W]`, and their kinds.
        held: those to validate on.
        card: of the VAE, without classes.
        context: of the training.
        task: how segments are drawn.
    """

    steps_per_epoch: int | None = None

    def __init__(
        self,
        train: tuple[np.ndarray, np.ndarray],
        held: tuple[np.ndarray, np.ndarray],
        card: VaeCard,
        context: TaskContext,
        task: PocketSpectrogramVae,
    ) -> None:
        self._spectrograms, self._kinds_N = train
        self._card, self._context, self._jitter = card, context, task.jitter
        self.classes: tuple[str, ...] = KINDS if task.told else ()
        self._starts_N = find_starts(self._spectrograms, card)
        counts = np.bincount(self._kinds_N, minlength=len(KINDS)).tolist()
        self.counts = tuple(counts[: len(self.classes)])
        self.held = self._cut(*held, find_starts(held[0], card))

    def make_batch(self, step: int, group: WorkerGroup) -> SegmentBatch:
        """Return a worker's share of the batch of a step."""
        recipe = self._context.recipe
        rng = np.random.default_rng([recipe.seed, step])
        rows_N = rng.integers(len(self._kinds_N), size=recipe.batch)
        shifts_N = rng.integers(-self._jitter, self._jitter + 1, size=recipe.batch)
        own = group.slice_batch(recipe.batch)
        rows_n = rows_N[own]
        last = self._spectrograms.shape[3] - self._card.net.frames
        starts_n = (self._starts_N[rows_n] + shifts_N[own]).clip(0, last)
        return self._cut(self._spectrograms[rows_n], self._kinds_N[rows_n], starts_n)

    def read_training(self, limit: int) -> SegmentBatch:
        """Return the first training sounds."""
        part = slice(limit)
        return self._cut(self._spectrograms[part], self._kinds_N[part], self._starts_N[part])

    def close(self) -> None:
        """Do nothing: all lies in memory."""

    def _cut(self, spectrograms: np.ndarray, kinds_n: np.ndarray, starts_n: np.ndarray) -> SegmentBatch:
        return SegmentBatch(
            torch.from_numpy(cut_segments(spectrograms, starts_n, self._card)),
            torch.from_numpy(np.where(bool(self.classes), kinds_n, 0).astype(np.int64)),
        )


def find_starts(spectrograms: np.ndarray, card: VaeCard) -> np.ndarray:
    """Return the first frame of each sound's segment, int64 [N]."""
    frames = card.net.frames
    return np.array([find_onset(measure_loudness(each, card.front), frames) for each in spectrograms])


def cut_segments(spectrograms: np.ndarray, starts_N: np.ndarray, card: VaeCard) -> np.ndarray:
    """Return segments of spectrograms, float32 `[N, 1, H, S]`."""
    frames = card.net.frames
    cut = [each[:, :, start : start + frames] for each, start in zip(spectrograms, starts_N, strict=True)]
    return np.stack(cut).astype(np.float32)


def read_sounds(
    folder: Path, split: Split, count: int, front: SpectrogramFront
) -> tuple[np.ndarray, np.ndarray]:
    """Return the spectrograms of drawn sounds, float16 `[N, 1, H, W]`, and their kinds `[N]`.

    Args:
        folder: of the cache.
        split: of the scenes.
        count: N.
        front: of the VAE.
    """
    folder.mkdir(parents=True, exist_ok=True)
    blocks = [
        _read_block(folder, split, range(first, min(first + _BLOCK, count)), front)
        for first in range(0, count, _BLOCK)
    ]
    spectrograms, kinds = zip(*blocks, strict=True)
    return np.concatenate(spectrograms), np.concatenate(kinds)


def _read_block(
    folder: Path, split: Split, numbers: range, front: SpectrogramFront
) -> tuple[np.ndarray, np.ndarray]:
    file = folder / f"{split}-{front.kind}-{numbers.start:05d}-{numbers.stop:05d}.npz"
    if not file.exists():
        scenes = [draw_crossing("crossing", 0, split, number) for number in numbers]
        scratch = file.with_suffix(".part.npz")
        np.savez(
            scratch,
            spectrograms=np.stack([render_spectrogram(scene, front) for scene in scenes]).astype(np.float16),
            kinds=np.array([KINDS.index(scene.kind) for scene in scenes]),
        )
        scratch.replace(file)
    with np.load(file) as stored:
        return stored["spectrograms"], stored["kinds"]


def render_spectrogram(scene: Scene, front: SpectrogramFront) -> np.ndarray:
    """Return the standardised spectrogram of a scene's sound of 5.12 s, float32 `[1, H, W]`."""
    full_T, wave_T = render_sound(scene)
    if front.rate_hz != 16_000:
        import soxr

        wave_T = soxr.resample(full_T, 48_000, front.rate_hz)
    least = round(SAMPLES * front.rate_hz / 16_000)
    return compute_spectrogram(normalize_wave(wave_T, least), front)


TASKS = {"pocket_spectrogram_vae": PocketSpectrogramVae}
