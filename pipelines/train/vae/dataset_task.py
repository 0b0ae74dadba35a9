"""The task `spectrogram_vae`: segments of the sounds of a dataset, streamed from its tars.

Whole groups of near copies are held out (pipelines/store/split_groups.py): no video is on both sides.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch

from pipelines.encode.vae_segments import decode_segment
from pipelines.errors import ConfigError
from pipelines.store import versions
from pipelines.store.split_groups import find_parts
from pipelines.store.splits import TRAIN, VALIDATION
from pipelines.store.vectors import VectorReader
from pipelines.train.dataset import TrainingDataset
from pipelines.train.distributed import WorkerGroup
from pipelines.train.frames import read_segments
from pipelines.train.stream import MediaSample, MediaStream, StreamReader
from pipelines.train.stream_rows import read_usable_rows
from pipelines.train.task import TaskContext
from pipelines.train.texts import read_texts
from pipelines.train.vae.data import SegmentBatch
from pipelines.train.vae.task import VaeTask
from schemas.spectrogram_vae import VaeCard
from schemas.training import SplitSettings

_MEMBER = "flac"
# Held-out sounds stay in memory: 33 MB of 64 x 64, and 262 MB of the seed's shape.
_HELD_ROWS = 2_000
_ClassColumn = Literal["label", "caption", "none"]
# Key and spectrogram.
_Segment = tuple[int, np.ndarray]


@dataclass
class SpectrogramVaeTask(VaeTask):
    """The task.

    Attributes:
        dataset: whose sounds.
        classes: the column whose words are the classes; none for a net that is told none.
        least_rows: training sounds that make a word a class; a sound of a rarer one has none.
        lanes: of the stream.
        buffer: rows that a lane shuffles together.
        split: which sources are held out.
    """

    dataset: TrainingDataset | None = None
    classes: _ClassColumn = "label"
    least_rows: int = 2
    lanes: int = 8
    buffer: int = 256
    split: SplitSettings = field(default_factory=SplitSettings)

    def __post_init__(self) -> None:
        """Take keys of a preset's file as settings."""
        super().__post_init__()
        self.split = SplitSettings.model_validate(self.split)

    def read_data(self, context: TaskContext, draft: VaeCard) -> DatasetSegments:
        """Find the sounds, their classes and their segments, and open the stream.

        Raises:
            ConfigError: there is no dataset, or it has too few sounds.
        """
        dataset = self.dataset
        if dataset is None:
            raise ConfigError("task spectrogram_vae is trained on a dataset; name one")
        reader = dataset.read_vectors()
        version = versions.read_version(dataset.root, dataset.version)
        pieces = read_usable_rows(dataset.root, version, (_MEMBER,), None)
        keys_N = np.concatenate([np.empty(0, np.int64), *(piece.keys_N for piece in pieces)])
        parts_N = find_parts(dataset.root, reader.shards, dataset.shard_rows, keys_N, self.split)
        train, held = keys_N[parts_N == TRAIN], keys_N[parts_N == VALIDATION]
        if len(train) < context.recipe.batch or len(held) < 2:
            raise ConfigError(
                f"{dataset.root.url} has {len(train)} sounds to train on and {len(held)} of other sources to "
                f"validate on, too few for batches of {context.recipe.batch}; build more clips, or take a "
                "smaller recipe.batch"
            )
        words: dict[int, str] = {}
        if self.classes != "none":
            texts = read_texts(dataset, reader, keys_N, self.classes)
            words = {key: word for key, word in zip(keys_N.tolist(), texts, strict=True) if word}
        known = _find_classes([words.get(key, "") for key in train.tolist()], self.least_rows)
        rows = _Rows(train, held, {key: known[w] for key, w in words.items() if w in known}, tuple(known))
        return DatasetSegments(self, dataset, context, draft, rows, _read_starts(reader))

    def make_stream(self, keys: np.ndarray, batch: int, lanes: int, seed: int) -> MediaStream:
        """Return the stream of some sounds.

        Args:
            keys: of the rows, int64.
            batch: rows a step.
            lanes: of the stream.
            seed: of the order.
        """
        assert self.dataset is not None
        root, version = self.dataset.root, self.dataset.version
        return MediaStream(root, version, (_MEMBER,), batch, keys, lanes, self.buffer, seed=seed)


@dataclass(frozen=True, eq=False)
class _Rows:
    """Keys of both parts, the class of each key that has one, and the classes."""

    train: np.ndarray
    held: np.ndarray
    numbers: dict[int, int]
    classes: tuple[str, ...]


class DatasetSegments:
    """Segments of a dataset's sounds: see `VaeData`.

    Args:
        task: how they are streamed.
        dataset: of the sounds.
        context: of the training.
        card: of the VAE, without classes.
        rows: of both parts.
        starts: key -> where its segment begins, in seconds; another sound's is where its loudest event does.
    """

    def __init__(  # noqa: PLR0913, PLR0917
        self,
        task: SpectrogramVaeTask,
        dataset: TrainingDataset,
        context: TaskContext,
        card: VaeCard,
        rows: _Rows,
        starts: dict[int, float],
    ) -> None:
        self._task, self._dataset, self._context = task, dataset, context
        self._card, self._rows, self._starts = card, rows, starts
        self.classes = rows.classes
        numbers = [rows.numbers.get(key, len(self.classes)) for key in rows.train.tolist()]
        self.counts = tuple(
            np.bincount(numbers, minlength=len(self.classes) + 1)[: len(self.classes)].tolist()
        )
        stream = task.make_stream(rows.train, context.recipe.batch, task.lanes, context.recipe.seed)
        self._stream: StreamReader[_Segment] = stream.open(self._decode, context.group)
        self._kept: dict[str, SegmentBatch] = {}

    @property
    def steps_per_epoch(self) -> int | None:
        """The steps after which every sound was heard."""
        return self._stream.steps_per_epoch

    @property
    def held(self) -> SegmentBatch:
        """Sounds of other sources, decoded when they are first asked for."""
        if "held" not in self._kept:
            self._kept["held"] = self._read(self._rows.held, _HELD_ROWS)
        return self._kept["held"]

    def make_batch(self, step: int, group: WorkerGroup) -> SegmentBatch:  # noqa: ARG002 - the stream knows it
        """Return this worker's segments of a step."""
        return self._join(self._stream.read_batch(step))

    def read_training(self, limit: int) -> SegmentBatch:
        """Return a seeded draw of the training sounds, decoded when it is first asked for."""
        if (name := f"train {limit}") not in self._kept:
            self._kept[name] = self._read(self._rows.train, limit)
        return self._kept[name]

    def close(self) -> None:
        """End the threads of the stream."""
        self._stream.close()

    def _read(self, keys: np.ndarray, limit: int) -> SegmentBatch:
        if len(keys) > limit:
            keys = np.sort(np.random.default_rng(VALIDATION).choice(keys, limit, replace=False))
        with self._task.make_stream(keys, 1, 1, 0).open(self._decode) as stream:
            return self._join([stream.read_batch(step)[0] for step in range(len(keys))])

    def _decode(self, sample: MediaSample) -> _Segment:
        start_s = self._starts.get(sample.key)
        return sample.key, decode_segment(sample.media[_MEMBER], self._card, start_s)

    def _join(self, segments: list[_Segment]) -> SegmentBatch:
        numbers = [self._rows.numbers.get(key, len(self.classes)) for key, _ in segments]
        return SegmentBatch(
            torch.from_numpy(np.stack([segment for _, segment in segments])), torch.tensor(numbers)
        )


def _find_classes(words: list[str], least: int) -> dict[str, int]:
    """Return word -> its number, of words that enough training sounds have, in alphabetical order."""
    found, counts = np.unique([word for word in words if word], return_counts=True)
    return {str(word): number for number, word in enumerate(found[counts >= least])}


def _read_starts(reader: VectorReader) -> dict[int, float]:
    """Return key -> where the segment that the set's vectors stand for begins; of clips that have one."""
    found: dict[int, float] = {}
    for shard in reader.shards:
        if shard.kind == "clip":
            media = reader.root.read_table(f"media/{shard.name}.parquet", columns=["key"])
            keys_n = np.array([int(key) for key in media["key"].to_pylist()], np.int64)
            starts_s_n, _ = read_segments(reader, shard, keys_n)
            known = np.isfinite(starts_s_n)
            found |= dict(zip(keys_n[known].tolist(), starts_s_n[known].tolist(), strict=True))
    return found


TASKS = {"spectrogram_vae": SpectrogramVaeTask}
