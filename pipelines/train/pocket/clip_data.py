"""Training batches of the pocket CLIP: pictures, texts, and soft targets for each picture and text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipelines.miniature import captions, world
from pipelines.miniature.pictures import picture
from pipelines.miniature.world import Scene

if TYPE_CHECKING:
    from torch import Tensor

IMAGE_PX = 64
UNKNOWN = "[UNK]"  # the token of words outside the world's vocabulary


@dataclass(frozen=True, slots=True)
class Augmentation:
    """Random affine maps and tints of pictures.

    Attributes:
        maps: float32 `[N, 2, 3]`, as of `affine_grid`.
        gains: float32 `[N, 3, 1, 1]`, of the colours.
    """

    maps: NDArray[np.float32]
    gains: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class ClipBatch:
    """A worker's share of the batch of one step, n of N pairs.

    Attributes:
        pictures: uint8 `[n, IMAGE_PX, IMAGE_PX, 3]`.
        augmentation: of these pictures.
        texts: `N` captions, of all workers.
        rows: which of them belong to the pictures.
        targets: float32 `[N, N]`; how well picture i matches text j, 0 to 1.
    """

    pictures: NDArray[np.uint8]
    augmentation: Augmentation
    texts: list[str]
    rows: slice
    targets: NDArray[np.float32]


class ClipSampler:
    """Draws batches from the first scenes of the training split.

    Args:
        seed: of scenes and batches.
        batch: pairs a step, of all workers.
        draws: scenes.
    """

    def __init__(self, seed: int, batch: int, draws: int) -> None:
        self._seed, self._batch, self._draws = seed, batch, draws
        self._pictures: dict[int, NDArray[np.uint8]] = {}

    def draw_batch(self, step: int, rows: slice | None = None) -> ClipBatch:
        """Return a share of the batch of a step; it depends on the seed, the sizes and the step alone.

        Args:
            step: from 0.
            rows: of the share; the whole batch if None.
        """
        size, draws, rows = self._batch, self._draws, rows or slice(0, self._batch)
        epoch, start = divmod(step * size, draws // size * size)
        order = np.random.default_rng([self._seed, epoch]).permutation(draws)
        rng = np.random.default_rng([self._seed, epoch, start])
        indices = [int(i) for i in order[start : start + size]]
        scenes = [world.draw(self._seed, "train", i) for i in indices]
        texts = [_draw_text(scene, rng) for scene in scenes]
        own = list(zip(indices, scenes, strict=True))[rows]
        return ClipBatch(
            np.stack([self._render_picture(index, scene) for index, scene in own]),
            _draw_augmentation(size, rng, rows),
            [text for text, _ in texts],
            rows,
            match_texts(scenes, np.array([attributes for _, attributes in texts])),
        )

    def _render_picture(self, index: int, scene: Scene) -> NDArray[np.uint8]:
        from PIL import Image

        if index not in self._pictures:
            # At 160 to 320 px, as a dataset may hold it, then resized as by the model's preprocessing.
            drawn = Image.fromarray(picture(scene, 160 + 40 * (index % 5)))
            small = drawn.resize((IMAGE_PX, IMAGE_PX), Image.Resampling.BICUBIC)
            self._pictures[index] = np.asarray(small)
        return self._pictures[index]


def _draw_text(scene: Scene, rng: np.random.Generator) -> tuple[str, tuple[bool, ...]]:
    """Return a text about a scene, and whether it may mention colour, count, background and pitch."""
    which = rng.random()
    variant = int(rng.integers(1 << 30))
    if which < 0.7:
        text = captions.caption(scene, "picture", "train", variant)
        mentioned = (True, True, True, True)
    elif which < 0.9:
        # The text tower also encodes the captions of clips.
        text = captions.caption(scene, "sound", "train", variant)
        mentioned = (False, True, True, True)
    else:
        text = captions.label(scene.kind) if which < 0.95 else scene.kind
        mentioned = (False, False, False, False)
    words = [UNKNOWN if rng.random() < 0.04 else word for word in text.split()]
    # Queries may begin with words that no caption has ("find me ...").
    opening = [UNKNOWN] * int(rng.integers(1, 4)) if rng.random() < 0.15 else []
    return " ".join(opening + words), mentioned


def match_texts(scenes: Sequence[Scene], mentioned: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return soft targets `[N, N]`: 0 between kinds, else 3 to minus the mentioned attributes that differ.

    With 24 kinds a batch of 128 has five other right answers to every query; one-hot targets would push
    them away from it.

    Args:
        scenes: `N` of a batch.
        mentioned: bool `[N, 4]`; which attributes text j may mention.
    """
    kinds = np.array([world.KINDS.index(scene.kind) for scene in scenes])
    values = [(s.colour, str(s.count), s.background, s.pitch) for s in scenes]
    attributes = np.unique(np.array(values), return_inverse=True)[1].reshape(len(scenes), 4)
    differ = (attributes[:, None] != attributes[None]) & mentioned[None]
    same = kinds[:, None] == kinds[None]
    return np.asarray(same * 3.0 ** -differ.sum(-1), np.float32)


def _draw_augmentation(count: int, rng: np.random.Generator, rows: slice) -> Augmentation:
    """Draw the maps and tints of `count` pictures, and return those of some rows."""
    turn, size = rng.uniform(-0.15, 0.15, count), rng.uniform(0.88, 1.12, count)
    mirror = rng.choice((-1.0, 1.0), count)
    maps = [
        [size * np.cos(turn) * mirror, -size * np.sin(turn), rng.uniform(-0.1, 0.1, count)],
        [size * np.sin(turn) * mirror, size * np.cos(turn), rng.uniform(-0.1, 0.1, count)],
    ]
    gains = rng.uniform(0.9, 1.1, (count, 3, 1, 1)).astype(np.float32)
    return Augmentation(np.array(maps, np.float32).transpose(2, 0, 1)[rows], gains[rows])


def augment_pictures(pictures: Tensor, augmentation: Augmentation) -> Tensor:
    """Return uint8 `[N, H, W, 3]` as floats in 0..1, `[N, 3, H, W]`, with affine maps and tints."""
    import torch
    from torch.nn.functional import affine_grid, grid_sample

    theta = torch.from_numpy(augmentation.maps).to(pictures.device)
    gain = torch.from_numpy(augmentation.gains).to(pictures.device)
    x = pictures.permute(0, 3, 1, 2).float() / 255 * gain
    grid = affine_grid(theta, list(x.shape), align_corners=False)
    return grid_sample(x, grid, padding_mode="reflection", align_corners=False)
