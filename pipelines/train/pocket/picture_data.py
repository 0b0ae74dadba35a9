"""Training data of the pocket Stable Diffusion: drawn pictures of the miniature world, and their captions.

The scenes have a stream of their own, and only combinations that `echolens evaluate` does not score.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

import numpy as np

from pipelines.errors import ConfigError
from pipelines.miniature import captions
from pipelines.miniature.pictures import picture
from pipelines.miniature.world import Scene, draw_crossing
from pipelines.train.task import Task, TaskContext

PICTURE_PX = 64
CAPTIONS = 4  # of each picture


class DrawnPictures:
    """The first pictures of a seed's training split, drawn once in blocks.

    Attributes:
        scenes: of the pictures.

    Args:
        folder: of the blocks.
        seed: of the scenes.
        draws: pictures: 4,000 take ten seconds of one core.
        block: pictures of a block.
    """

    def __init__(self, folder: Path, seed: int, draws: int, block: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.scenes = [_draw_scene(seed, number) for number in range(draws)]
        parts = [
            _read_block(folder / f"{start:05d}-{len(scenes):05d}.npy", scenes)
            for start in range(0, draws, block)
            for scenes in [self.scenes[start : start + block]]
        ]
        self._pixels = np.concatenate(parts)

    def __len__(self) -> int:
        return len(self.scenes)

    def read_pixels(self, indices: np.ndarray) -> np.ndarray:
        """Return pictures, uint8 [N, H, W, 3]."""
        found: np.ndarray = self._pixels[indices]
        return found

    def make_caption(self, index: int, variant: int) -> str:
        """Return one of the captions of a picture."""
        return captions.caption(self.scenes[index], "picture", "train", variant)


@dataclass
class DrawnPicturesTask(Task):
    """What the tasks of the pocket Stable Diffusion's parts share.

    Attributes:
        draws: training pictures.
        block: pictures that are drawn and cached in one block.
    """

    is_mean: ClassVar[bool] = True

    draws: int = 4_000
    block: int = 500

    def open(self, context: TaskContext) -> Self:
        """Draw the pictures that are not cached yet.

        Raises:
            ConfigError: there are fewer than a batch.
        """
        if self.draws < context.recipe.batch:
            raise ConfigError(
                f"{self.draws} pictures are too few for batches of {context.recipe.batch}; take more draws, "
                "or a smaller recipe.batch"
            )
        seed = context.recipe.seed
        self.pictures = DrawnPictures(context.folder / f"pictures-{seed}", seed, self.draws, self.block)
        return super().open(context)

    def draw_pictures(self, step: int) -> tuple[np.ndarray, np.random.Generator]:
        """Return the pictures of the whole batch of a step, and the rest of the step's stream."""
        rng = np.random.default_rng([self.context.recipe.seed, step])
        return rng.choice(len(self.pictures), self.context.recipe.batch, replace=False), rng


def _draw_scene(seed: int, number: int) -> Scene:
    return draw_crossing("diffusion", seed, "train", number)


def _read_block(file: Path, scenes: list[Scene]) -> np.ndarray:
    if not file.exists():
        scratch = file.with_suffix(".part.npy")
        np.save(scratch, np.stack([_draw_square(scene) for scene in scenes]))
        scratch.replace(file)
    found: np.ndarray = np.load(file)
    return found


def _draw_square(scene: Scene) -> np.ndarray:
    from PIL import Image

    image = Image.fromarray(picture(scene, 3 * PICTURE_PX))
    return np.asarray(image.resize((PICTURE_PX, PICTURE_PX), Image.Resampling.BICUBIC))
