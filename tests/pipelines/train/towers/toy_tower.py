"""A tower over drawn pictures, whose right vectors are a known matrix of what is drawn."""

from dataclasses import dataclass, field

import numpy as np
import torch

from pipelines.train.towers.data import HeldPictures, PictureBatch
from pipelines.train.towers.task import TowerTask
from schemas.towers import PictureAugmentation, PictureInput, TowerNet
from tests.pipelines.train.spaces import space

DIMS, PX = 16, 32
PLAIN = PictureAugmentation(crop=1.0, flip=False, colour=0.0)


class ToyPictures:
    """Squares of a brightness for each of nine places; the target is a matrix of the nine."""

    def __init__(self, batch: int, count: int = 256, negatives: bool = False, captions: bool = False) -> None:
        rng = np.random.default_rng(0)
        latents = rng.random((count + 64, 9)).astype(np.float32)
        self.map_9O = rng.standard_normal((9, DIMS)).astype(np.float32)
        targets = (latents - 0.5) @ self.map_9O
        self.targets = targets / np.linalg.norm(targets, axis=1, keepdims=True)
        grey = np.kron(latents.reshape(-1, 3, 3), np.ones((11, 11)))[:, :PX, :PX]
        self.pixels = np.repeat((grey * 255).astype(np.uint8)[..., None], 3, axis=3)
        self.batch, self.count, self.negatives, self.captions = batch, count, negatives, captions

    @property
    def space(self):
        return space("clap", DIMS)

    @property
    def steps_per_epoch(self) -> int:
        return self.count // self.batch

    @property
    def held(self) -> HeldPictures:
        return HeldPictures(self.pixels[self.count :, None], self.targets[self.count :])

    def make_batch(self, step, group):
        rows = np.random.default_rng((7, step)).permutation(self.count)[: self.batch]
        own = rows[group.slice_batch(self.batch)]
        targets = torch.from_numpy(self.targets)
        return PictureBatch(
            torch.from_numpy(self.pixels[own]),
            targets[own],
            targets[own] if self.captions else None,
            targets[(own + 1) % self.count] if self.negatives else None,
        )

    def score(self, embed):
        return None

    def close(self) -> None:
        pass


@dataclass
class ToyTower(TowerTask):
    """A tower over these pictures."""

    net: TowerNet = field(
        default_factory=lambda: TowerNet(backbone="pocket_resnet", input=PictureInput(size_px=PX))
    )
    augment: PictureAugmentation = PLAIN
    negatives: bool = False

    def read_data(self, context):
        soft = self.loss.soft_captions is not None
        return ToyPictures(context.recipe.batch, negatives=self.negatives, captions=soft)
