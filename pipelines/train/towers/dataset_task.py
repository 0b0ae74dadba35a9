"""The task `tower`: pictures of a dataset -> the space of its sounds."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field
from typing import Self

from pipelines.errors import ConfigError
from pipelines.models.towers import build_towers
from pipelines.train.dataset import TrainingDataset
from pipelines.train.task import TaskContext
from pipelines.train.towers.data import TowerData
from pipelines.train.towers.dataset_pictures import PictureStreams
from pipelines.train.towers.pretrained import DATASET, find_dataset_clip, find_first_weights
from pipelines.train.towers.task import TowerTask
from schemas.towers import TowerPairs
from schemas.training import SplitSettings


@dataclass
class DatasetTower(TowerTask):
    """The task: pictures of a version -> the vectors of a column of the same rows.

    Attributes:
        dataset: whose rows.
        pairs: which pictures, and what they are trained to.
        lanes: of each stream.
        buffer: rows that a lane shuffles together.
        split: which rows are held out.
    """

    dataset: TrainingDataset | None = None
    pairs: TowerPairs = field(default_factory=TowerPairs)
    lanes: int = 8
    buffer: int = 256
    split: SplitSettings = field(default_factory=SplitSettings)

    def __post_init__(self) -> None:
        # A preset's file gives keys.
        self.split = SplitSettings.model_validate(self.split)

    def open(self, context: TaskContext) -> Self:
        """Read the targets, and find the first weights: of `pretrained: dataset` those of its CLIP."""
        if self.dataset is not None and self.net.pretrained == DATASET:
            self.net = self.net.model_copy(update={"pretrained": find_dataset_clip(self.dataset)})
        return super().open(context)

    def check(self, context: TaskContext) -> None:
        """Open the task for a moment, and build its net without memory: all that it needs is there already.

        Raises:
            ConfigError: as of `open`, or there is no such backbone.
        """
        import torch

        with closing(self):
            self.open(context)
            with torch.device("meta"):
                build_towers(self.make_towers_card())

    def read_data(self, context: TaskContext) -> TowerData:
        """Read the targets, and open the streams of pictures.

        Raises:
            ConfigError: there is no dataset, a column is missing, or there are too few rows.
        """
        if self.dataset is None:
            raise ConfigError("task tower is trained on a dataset; name one")
        # The backbone clip brings its own size.
        settings = find_first_weights(self.net, 1).settings.input
        source = PictureStreams(
            self.dataset, self.pairs, self.loss, settings, self.augment, self.lanes, self.buffer, self.split
        )
        return source.open(context)


TASKS = {"tower": DatasetTower}
