"""The task `joint_vae`: sounds of a dataset's clips with the frames of these clips."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from pipelines.errors import ConfigError
from pipelines.train.adapter.data import SoundPictures
from pipelines.train.adapter.dataset_tasks import DatasetAlignSounds
from pipelines.train.dataset import TrainingDataset
from pipelines.train.task import TaskContext
from pipelines.train.texts import read_texts
from pipelines.train.vae.joint import JointVaeTask
from schemas.families import Column
from schemas.training import SplitSettings


@dataclass
class DatasetJointVae(JointVaeTask):
    """The task.

    Attributes:
        dataset: whose clips.
        column: of the sounds' vectors.
        classes: the column whose words say which clips are of one class; none for pairs of one clip alone.
        split: which sources are held out.
    """

    dataset: TrainingDataset | None = None
    column: Column = "clap_audio"
    classes: Literal["label", "caption", "none"] = "label"
    split: SplitSettings = field(default_factory=SplitSettings)

    def __post_init__(self) -> None:
        """Take keys of a preset's file as settings."""
        super().__post_init__()
        self.split = SplitSettings.model_validate(self.split)

    def read_pairs(self, context: TaskContext) -> tuple[SoundPictures, np.ndarray]:
        """Return the clips that have frames and a vector of their sound, and their classes.

        Raises:
            ConfigError: there is no dataset, no such column, or no such clip.
        """
        if (dataset := self.dataset) is None:
            raise ConfigError("task joint_vae is trained on a dataset; name one")
        clips = DatasetAlignSounds(dataset=dataset, column=self.column, split=self.split)
        data = clips.read_data(context)
        if self.classes == "none":
            return data, np.full(len(data.keys_S), -1, np.int64)
        words = read_texts(dataset, dataset.read_vectors(), data.keys_S, self.classes)
        known = {word: number for number, word in enumerate(sorted({*words} - {""}))}
        return data, np.array([known.get(word, -1) for word in words], np.int64)


TASKS = {"joint_vae": DatasetJointVae}
