"""Two towers that are trained together say nothing to a generator: theirs is a space of its own."""

from dataclasses import dataclass

import numpy as np
import torch

from pipelines.store.root import Root
from pipelines.train.task import TaskContext
from pipelines.train.towers.joint import JointTowers, MediaPair
from pipelines.train.towers.pretrained import find_first_weights
from pipelines.train.trainer import Trainer
from schemas.recipe import OptimizerSettings, Recipe
from schemas.towers import PictureInput, SoundTowerSettings, TowerLoss, TowerNet
from tests.pipelines.train.towers.toy_tower import DIMS, PX, ToyPictures, ToyTower

RECIPE = Recipe(steps=80, batch=32, optimizer=OptimizerSettings(lr=2e-3), validate_every=80, select="last")
SOUND = SoundTowerSettings(rate_hz=1000, length_s=0.09, hidden=64, dims=DIMS)
NET = TowerNet(backbone="pocket_resnet", layer_norm=True, input=PictureInput(size_px=PX))


@dataclass
class ToyTowers(JointTowers):
    """Pictures of nine numbers, and waves that hold the same nine, ten times each."""

    def open(self, context: TaskContext):
        self.context = context
        self._first = find_first_weights(self.net, self.sound.dims)
        self.toys = ToyPictures(context.recipe.batch)
        heard = np.repeat((self.toys.targets @ np.linalg.pinv(self.toys.map_9O)), 10, axis=1)
        self.waves = torch.from_numpy(heard.astype(np.float32))
        self._held = self.pair(np.arange(self.toys.count, len(self.waves)))
        return self

    def count_steps(self):
        return self.toys.steps_per_epoch

    def pair(self, rows):
        return MediaPair(torch.from_numpy(self.toys.pixels[rows]), self.waves[rows])

    def make_batch(self, step, group):
        rows = np.random.default_rng((7, step)).permutation(self.toys.count)[: self.context.recipe.batch]
        return self.pair(rows)


def test_retrieval_may_be_perfect_and_the_cosine_nothing(tmp_path):
    """The second seed's form finds most pairs, far from the targets; locked targets are reached."""
    joint = Trainer(ToyTowers(None, NET, SOUND), RECIPE, Root.from_url(str(tmp_path / "a")), caches=tmp_path)
    scores = joint.train().task.validate(joint.net.eval())[""]
    locked = Trainer(
        ToyTower(loss=TowerLoss(anchor=1)), RECIPE, Root.from_url(str(tmp_path / "b")), caches=tmp_path
    )
    right = locked.train().task.validate(locked.net.eval())[""]
    held = locked.task.data.held
    pixels = torch.from_numpy(held.pixels[:, 0])
    with torch.inference_mode():
        from torch.nn.functional import normalize

        from pipelines.train.towers.pictures import normalize_pixels

        own_ND = normalize(joint.net["image"](normalize_pixels(pixels, NET.input)), dim=-1).numpy()
    cosine = float((own_ND * held.targets_NO).sum(1).mean())

    assert scores["r1"] > 0.6
    assert abs(cosine) < 0.3
    assert right["cosine"] > 0.8
