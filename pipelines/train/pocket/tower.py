"""Trains the pocket tower: pictures of the miniature world straight into the space of pocket CLAP.

Its sounds are those of the scenes that the pocket translators were trained on. A sound says neither the
colour nor the place of a thing, so each scene is drawn several times, in other colours and places.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipelines.errors import ConfigError
from pipelines.miniature.pictures import picture
from pipelines.miniature.world import COLOURS, KINDS, Scene, draw_crossing, split_of
from pipelines.models.towers import save_towers
from pipelines.store.splits import TEST, TRAIN, VALIDATION
from pipelines.train.distributed import WorkerGroup
from pipelines.train.pocket.crossing_data import ScenePairs, read_scene_pairs
from pipelines.train.task import TaskContext
from pipelines.train.towers.data import EmbedPixels, HeldPictures, PictureBatch, TowerData, embed_frames
from pipelines.train.towers.pictures import augment_picture
from pipelines.train.towers.task import TowerTask
from schemas.space import Space
from schemas.translator_card import RetrievalScores

if TYPE_CHECKING:
    from PIL import Image
    from torch import nn

# Longer side of the pictures that are kept: a part of half their area still has the pixels of a tower.
_KEPT_PX = 96
# Of each ten scenes, one validates and one is scored, as of those of the translators.
_PARTS = (VALIDATION, TEST, *[TRAIN] * 8)
_CARD = """# Pocket tower

For Echolens' demo and tests only: a picture of the miniature world -> a vector in the space of pocket CLAP.
Trained by `echolens pocket tower` in two stages, the last of {steps} steps, from seed {seed} on {scenes}
scenes, each drawn {pictures} times in other colours and places, whose combinations of kind, ground and pitch
are not those that `echolens evaluate` scores.

Licence: Apache-2.0, like the code.
"""


@dataclass
class PocketTower(TowerTask):
    """The task: drawn scenes -> the vectors of their sounds.

    Attributes:
        scenes: with a sound each: 1,500 take 20 minutes of one core to make and encode.
        pictures: drawn of each scene.
    """

    scenes: int = 1_500
    pictures: int = 8

    def read_data(self, context: TaskContext) -> TowerData:
        """Draw the pictures that are not cached yet, and encode their sounds.

        Raises:
            ConfigError: there are fewer scenes than a batch, or the loss compares captions.
        """
        if self.loss.soft_captions is not None or self.loss.negatives:
            key = "negatives" if self.loss.negatives else "soft_captions"
            raise ConfigError(
                f"loss.{key} compares captions, and task pocket_tower draws scenes, which have none; leave "
                "it out, or take task tower on a dataset with clap_text"
            )
        return ScenePictures(self, context)

    def save(self, net: nn.Module, folder: Path) -> None:
        """Write the tower with weights as fp16, and what it is."""
        from pipelines.train.towers.criterion import TowerCriterion

        assert isinstance(net, TowerCriterion)
        save_towers(net.towers, self.make_towers_card(), folder, half=True)
        recipe = self.context.recipe
        card = _CARD.format(steps=recipe.steps, seed=recipe.seed, scenes=self.scenes, pictures=self.pictures)
        (folder / "README.md").write_text(card, encoding="utf-8")


class ScenePictures:
    """The data of the pocket tower: see `TowerData`.

    Args:
        task: how many scenes and pictures.
        context: of the training.
    """

    def __init__(self, task: PocketTower, context: TaskContext) -> None:
        self._task, self._context = task, context
        self._pairs: ScenePairs = read_scene_pairs(0, "train", task.scenes, context.folder / "crossing")
        self._units_SO = self._pairs.sound_ND.astype(np.float32)
        part_S = np.resize(np.array(_PARTS, np.uint8), task.scenes)
        self._rows = {part: np.flatnonzero(part_S == part) for part in (TRAIN, VALIDATION, TEST)}
        if len(self._rows[TRAIN]) * task.pictures < context.recipe.batch:
            raise ConfigError(
                f"{task.scenes} scenes drawn {task.pictures} times are too few for batches of "
                f"{context.recipe.batch}; take more scenes, or a smaller recipe.batch"
            )
        self._pixels = self._read_pictures()

    @property
    def space(self) -> Space:
        """Of pocket CLAP."""
        return self._pairs.sound_space

    @property
    def steps_per_epoch(self) -> int:
        """The full batches of all pictures."""
        return len(self._rows[TRAIN]) * self._task.pictures // self._context.recipe.batch

    @property
    def held(self) -> HeldPictures:
        """The first picture of each scene to validate on."""
        rows = self._rows[VALIDATION]
        return HeldPictures(self._read_squares(rows)[:, None], self._units_SO[rows])

    def make_batch(self, step: int, group: WorkerGroup) -> PictureBatch:
        """Return a worker's pictures of a step: at most one of each scene, for they share a sound."""
        import torch

        recipe, train, device = self._context.recipe, self._rows[TRAIN], self._context.device
        rng = np.random.default_rng((recipe.seed, step))
        scenes = rng.permutation(len(train))[: recipe.batch]
        scenes = np.resize(scenes, recipe.batch)
        pictures = rng.integers(self._task.pictures, size=recipe.batch)
        own = group.slice_batch(recipe.batch)
        rows, numbers = train[scenes[own]], pictures[own]
        settings = self._task.net.input
        pixels = [
            augment_picture(
                _make_image(self._pixels[row, number]),
                settings,
                self._task.augment,
                np.random.default_rng((recipe.seed, step, int(row))),
            )
            for row, number in zip(rows.tolist(), numbers.tolist(), strict=True)
        ]
        return PictureBatch(
            torch.from_numpy(np.stack(pixels)).to(device), torch.from_numpy(self._units_SO[rows]).to(device)
        )

    def score(self, embed: EmbedPixels) -> RetrievalScores | None:
        """Return the scores on the scenes that are kept for them, whose labels are kinds."""
        from pipelines.metrics.retrieval import LabelPrototypes, score

        rows, kinds = self._rows[TEST], self._read_kinds()
        known = np.unique(kinds)
        train = self._rows[TRAIN]
        means = np.stack([self._units_SO[train[kinds[train] == kind]].sum(0) for kind in known])
        means /= np.linalg.norm(means, axis=1, keepdims=True).clip(1e-12)
        units_NO = embed_frames(embed, self._read_squares(rows)[:, None])
        classes = LabelPrototypes(kinds[rows], known, means)
        return score(units_NO, self._units_SO[rows], None, classes)

    def close(self) -> None:
        """Release nothing: pictures are in memory."""

    def _read_kinds(self) -> np.ndarray:
        """Return the kind of each scene as an integer, uint64, from 1."""
        return np.array([KINDS.index(scene.kind) + 1 for scene in self._draw_scenes()], np.uint64)

    def _draw_scenes(self) -> Iterator[Scene]:
        return (draw_crossing("crossing", 0, "train", number) for number in range(self._task.scenes))

    def _read_squares(self, rows: np.ndarray) -> np.ndarray:
        """Return the first picture of scenes as the tower sees them in use, uint8 [N, H, W, 3]."""
        from pipelines.decode.tower_input import find_box, resize_picture

        settings = self._task.net.input
        images = [_make_image(self._pixels[row, 0]) for row in rows.tolist()]
        return np.stack([resize_picture(each, settings.size_px, find_box(each, settings)) for each in images])

    def _read_pictures(self) -> np.ndarray:
        """Return all pictures, uint8 [scenes, pictures, H, W, 3], drawn once and then read from a file."""
        task = self._task
        file = self._context.folder / f"tower-pictures-{task.scenes}-{task.pictures}.npy"
        if not file.exists():
            drawn = np.stack(
                [
                    np.stack([_draw_square(each) for each in vary_scene(scene, task.pictures)])
                    for scene in self._draw_scenes()
                ]
            )
            scratch = file.with_suffix(".part.npy")
            np.save(scratch, drawn)
            scratch.replace(file)
        found: np.ndarray = np.load(file, mmap_mode="r")
        return found


def vary_scene(scene: Scene, count: int) -> list[Scene]:
    """Return scenes that sound alike: the scene itself, then others in other colours and places.

    Args:
        scene: of the training split.
        count: of scenes.
    """
    rng = np.random.default_rng((scene.seed, 1))
    allowed = [colour for colour in COLOURS if split_of(scene.kind, colour, scene.background) == "train"]
    others = [
        replace(scene, colour=allowed[int(rng.integers(len(allowed)))], seed=int(rng.integers(2**63)))
        for _ in range(count - 1)
    ]
    return [scene, *others]


def _draw_square(scene: Scene) -> np.ndarray:
    from PIL import Image

    image = Image.fromarray(picture(scene, 2 * _KEPT_PX))
    return np.asarray(image.resize((_KEPT_PX, _KEPT_PX), Image.Resampling.BICUBIC))


def _make_image(pixels: np.ndarray) -> Image.Image:
    import PIL.Image

    return PIL.Image.fromarray(np.asarray(pixels))


TASKS = {"pocket_tower": PocketTower}
