"""The task `captioner`: vectors of a dataset's columns -> the captions of their rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pipelines.errors import ConfigError
from pipelines.store.keyed_vectors import read_keyed_vectors
from pipelines.store.split_groups import read_groups
from pipelines.store.splits import TRAIN, VALIDATION
from pipelines.train.captioner.data import CaptionedVectors
from pipelines.train.captioner.task import CaptionerTask
from pipelines.train.captioner.words import FirstWords, read_gpt2
from pipelines.train.dataset import TrainingDataset
from pipelines.train.task import TaskContext
from pipelines.train.texts import read_texts
from schemas.families import Column, get_family, get_modality
from schemas.training import SplitSettings


@dataclass
class DatasetCaptioner(CaptionerTask):
    """The task.

    Attributes:
        dataset: whose rows.
        gpt2: a folder with the vocabulary of a GPT-2, its config.json, and its weights unless it begins with
            random ones.
        columns: of the vectors, one a family: of texts, which need no media, or of media.
        split: which rows are held out.
    """

    dataset: TrainingDataset | None = None
    gpt2: str = ""
    columns: Sequence[Column] = ("clap_text",)
    split: SplitSettings = field(default_factory=SplitSettings)

    def __post_init__(self) -> None:
        # A preset's file gives keys.
        self.split = SplitSettings.model_validate(self.split)
        families = [get_family(column) for column in self.columns]
        if not families or len({*families}) < len(families):
            raise ConfigError(
                f"columns {', '.join(self.columns) or 'none'}: a captioner has one mapper a family; name one "
                "column of each"
            )

    def read_words(self, context: TaskContext) -> FirstWords:  # noqa: ARG002 - nothing of it is needed
        """Return the GPT-2 of the folder.

        Raises:
            ConfigError: there is none.
        """
        if not self.gpt2:
            raise ConfigError(
                "a captioner's words are those of a GPT-2, and the preset names none; give its folder, as in "
                "gpt2=/models/gpt2"
            )
        return read_gpt2(Path(self.gpt2))

    def read_data(self, context: TaskContext) -> list[CaptionedVectors]:  # noqa: ARG002
        """Return the rows of the version that have a caption and a vector, of each column.

        Raises:
            ConfigError: there is no dataset, no such column, or no such row.
        """
        if self.dataset is None:
            raise ConfigError("a captioner is trained on a dataset; name one")
        return [self._read_column(self.dataset, column) for column in self.columns]

    def _read_column(self, dataset: TrainingDataset, column: Column) -> CaptionedVectors:
        reader = dataset.read_vectors()
        found = read_keyed_vectors(reader, column)
        captions = read_texts(dataset, reader, found.keys_N)
        said = np.array([bool(caption.strip()) for caption in captions])
        groups = read_groups(dataset.root, reader.shards, dataset.shard_rows, self.split)
        part_N = groups.part_N[groups.find_rows(found.keys_N)]
        return CaptionedVectors(
            family=get_family(column),
            space=found.space,
            is_text=get_modality(column) == "text",
            units_ND=found.vectors_ND,
            captions=[(caption,) for caption in captions],
            train_N=np.flatnonzero(said & (part_N == TRAIN)),
            held_N=np.flatnonzero(said & (part_N == VALIDATION)),
        )


TASKS = {"captioner": DatasetCaptioner}
