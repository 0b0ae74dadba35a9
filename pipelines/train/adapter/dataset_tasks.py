"""The tasks of an adapter over the clips of a dataset: frames, the vectors of their sounds, and captions."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from pipelines.errors import ConfigError
from pipelines.store.keyed_vectors import KeyedVectors, read_keyed_vectors
from pipelines.store.split_groups import read_groups
from pipelines.store.splits import TRAIN, VALIDATION
from pipelines.store.vectors import VectorReader
from pipelines.store.windows import read_windows
from pipelines.train.adapter.align import AlignSounds
from pipelines.train.adapter.data import SoundPictures
from pipelines.train.adapter.paint import PaintSounds
from pipelines.train.adapter.task import AdapterTask
from pipelines.train.dataset import TrainingDataset
from pipelines.train.task import TaskContext
from pipelines.train.texts import read_texts
from pipelines.train.towers.picture_rows import MEMBERS, read_picture_rows
from schemas.families import Column
from schemas.space import Space
from schemas.towers import PictureInput
from schemas.training import SplitSettings


@dataclass
class DatasetClips(AdapterTask):
    """What both tasks read of a dataset.

    Attributes:
        dataset: whose clips.
        column: of the sounds' vectors.
        windows: whether the windows of sounds are read, which loss.consistency of a later task needs.
        split: which rows are held out.
    """

    dataset: TrainingDataset | None = None
    column: Column = "clap_audio"
    windows: bool = False
    split: SplitSettings = field(default_factory=SplitSettings)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.split = SplitSettings.model_validate(self.split)

    def read_data(self, context: TaskContext) -> SoundPictures:  # noqa: ARG002 - nothing of it is needed
        """Return the clips of the version that have frames and a vector of their sound.

        Raises:
            ConfigError: there is no dataset, no such column, or no such clip.
            SpaceError: the windows are of another column.
        """
        dataset = self.dataset
        if dataset is None:
            raise ConfigError("an adapter is trained on a dataset; name one")
        reader = dataset.read_vectors()
        rows = read_picture_rows(dataset.root, reader.shards, dataset.shard_rows)
        own = read_keyed_vectors(reader, self.column)
        keys = np.sort(np.intersect1d(rows.keys["clip"], own.keys_N))
        if not len(keys):
            raise ConfigError(
                f"{dataset.root.url} has no clip with frames and {self.column}; build one of clips"
            )
        groups = read_groups(dataset.root, reader.shards, dataset.shard_rows, self.split)
        part_S = groups.part_N[groups.find_rows(keys)]
        captions = read_texts(dataset, reader, keys)
        windows = self._read_windows(reader, keys, own) if self.windows else (None, None)

        def iterate_pixels(size_px: int) -> Iterator[np.ndarray]:
            frames = rows.iterate_frames(keys, PictureInput(size_px=size_px))
            return (pixels for _, pixels in frames)

        return SoundPictures(
            keys_S=keys,
            space=own.space,
            sounds_SD=own.get_vectors(keys).astype(np.float16),
            windows_MD=windows[0],
            starts_S=windows[1],
            pictures=len(MEMBERS["clip"]),
            make_caption=lambda sound, _, __: captions[sound],
            iterate_pixels=iterate_pixels,
            train_S=np.flatnonzero(part_S == TRAIN),
            held_S=np.flatnonzero(part_S == VALIDATION),
            fingerprint=hashlib.sha256(repr(dataset.describe()).encode() + keys.tobytes()).hexdigest(),
        )

    def _read_windows(
        self, reader: VectorReader, keys: np.ndarray, own: KeyedVectors
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the windows of clips in the order of their keys, and where those of each begin."""
        space, keys_M, _, units_MD = read_windows(reader.root, reader.set_name, reader.shards)
        _check_windows(space, own.space, self.column)
        kept = np.isin(keys_M, keys)
        starts = np.searchsorted(keys_M[kept], keys, "left")
        return units_MD[kept], np.append(starts, int(kept.sum()))


@dataclass
class DatasetAlignSounds(AlignSounds, DatasetClips):
    """The task `sound_alignment`: sounds of clips to the captions of the clips."""


@dataclass
class DatasetPaintSounds(PaintSounds, DatasetClips):
    """The task `sound_to_picture`: sounds of clips, with their captions, to frames of the clips."""


def _check_windows(found: Space, wanted: Space, column: Column) -> None:
    if found != wanted:
        raise ConfigError(
            f"loss.consistency: the windows are in {found} and {column} in {wanted} "
            f"({found.describe_differences(wanted)}); name the column that the windows are of"
        )


TASKS = {"sound_alignment": DatasetAlignSounds, "sound_to_picture": DatasetPaintSounds}
