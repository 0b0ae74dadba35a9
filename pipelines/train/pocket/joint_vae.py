"""Trains the pocket joint VAE: sounds of drawn scenes and small pictures of them, in one latent."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipelines.miniature.world import KINDS, draw_crossing
from pipelines.train.adapter.data import SoundPictures
from pipelines.train.pocket.adapter_data import PocketAlignSounds
from pipelines.train.task import TaskContext
from pipelines.train.vae.joint import JointVaeTask


@dataclass
class PocketJointVae(JointVaeTask):
    """The task `pocket_joint_vae`.

    Attributes:
        scenes: with a sound each: 1,500 take 20 minutes of one core to make and encode.
        pictures: drawn of each scene, in other colours and places.
    """

    scenes: int = 1_500
    pictures: int = 8
    half: bool = True

    def read_pairs(self, context: TaskContext) -> tuple[SoundPictures, np.ndarray]:
        """Draw the scenes, and encode the sounds that are not cached yet."""
        data = PocketAlignSounds(scenes=self.scenes, pictures=self.pictures).read_data(context)
        scenes = (draw_crossing("crossing", 0, "train", number) for number in range(self.scenes))
        return data, np.array([KINDS.index(scene.kind) for scene in scenes], np.int64)


TASKS = {"pocket_joint_vae": PocketJointVae}
