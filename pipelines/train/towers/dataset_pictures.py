"""The pictures of a version as the data of a tower: streamed from its tars, scored on rows held out.

Shapes: N rows, F frames, H x W pixels, O dimensions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from pipelines.errors import ConfigError
from pipelines.store.split_groups import SplitGroups, read_groups
from pipelines.store.splits import TEST, TRAIN, VALIDATION
from pipelines.train.dataset import TrainingDataset
from pipelines.train.distributed import WorkerGroup
from pipelines.train.frames import choose_frames
from pipelines.train.stream import MediaSample, MediaStream, StreamReader
from pipelines.train.task import TaskContext
from pipelines.train.towers.data import EmbedPixels, HeldPictures, PictureBatch, embed_rows
from pipelines.train.towers.leaks import find_leaked
from pipelines.train.towers.picture_rows import MEMBERS, PictureRows, read_picture_rows
from pipelines.train.towers.pictures import draw_picture
from pipelines.train.towers.scores import score_pictures
from pipelines.train.towers.sound_windows import SoundWindows, read_sound_windows
from pipelines.train.towers.targets import CAPTION, OWN, TowerTargets, find_negatives, read_targets
from schemas.candidate import Kind
from schemas.space import Space
from schemas.towers import PictureAugmentation, PictureInput, TowerLoss, TowerPairs
from schemas.training import SplitSettings
from schemas.translator_card import RetrievalScores

# Held-out pictures stay in memory: so many, and no more bytes than that.
_HELD_ROWS, _HELD_BYTES = 2_000, 256 * 2**20
# Captions of a larger cosine are of one thing.
_SAME_CAPTION = 0.9
# Key, epoch and pixels.
_Drawn = tuple[int, int, np.ndarray]


@dataclass(frozen=True)
class PictureStreams:
    """How the pictures of a version are read.

    Attributes:
        dataset: whose version.
        pairs: which pictures, and what they are trained to.
        loss: of the tower: whether it compares captions.
        input: of the tower.
        augment: of its pictures.
        lanes: of each stream.
        buffer: rows that a lane shuffles together.
        split: which rows are held out.
    """

    dataset: TrainingDataset
    pairs: TowerPairs
    loss: TowerLoss
    input: PictureInput
    augment: PictureAugmentation
    lanes: int
    buffer: int
    split: SplitSettings

    def open(self, context: TaskContext) -> DatasetPictures:
        """Read the targets, and open a stream for each kind of rows.

        Raises:
            ConfigError: a column is missing, or there are too few rows to train or to validate on.
            SpaceError: captions are in another space than sounds.
        """
        dataset, recipe = self.dataset, context.recipe
        reader = dataset.read_vectors()
        with_captions = self.loss.soft_captions is not None or self.loss.negatives > 0
        rows = read_picture_rows(dataset.root, reader.shards, dataset.shard_rows)
        groups = read_groups(dataset.root, reader.shards, dataset.shard_rows, self.split)
        pictures = np.concatenate([*rows.keys.values()])
        targets = read_targets(reader, groups, self.pairs, pictures, with_captions=with_captions)
        parts = _Parts(rows, targets, groups)
        parts = replace(parts, leaked_keys=find_leaked(reader, parts.list_parts(), self.split.leak_cosine))
        train = parts.select(TRAIN)
        count, held = sum(map(len, train.values())), sum(map(len, parts.select(VALIDATION).values()))
        if count < recipe.batch or held < 2:
            raise ConfigError(
                f"{count} pictures with {self.pairs.target} to train on and {held} to validate on are too "
                f"few for batches of {recipe.batch}; build more rows, or take a smaller recipe.batch"
            )
        shares = share_batch(recipe.batch, {kind: len(keys) for kind, keys in train.items()}, self.lanes)
        frames: Mapping[int, int] = {}
        if self.pairs.frame == "nearest" and "clip" in train:
            nearest_N = choose_frames(reader, train["clip"])
            frames = dict(zip(train["clip"].tolist(), nearest_N.tolist(), strict=True))
        streams = {
            kind: self._open_stream(kind, train[kind], share, context, frames)
            for kind, share in shares.items()
        }
        windows = read_sound_windows(reader, targets.space) if self.pairs.windows else None
        return DatasetPictures(self, context, parts, streams, windows)

    def _open_stream(
        self, kind: Kind, keys: np.ndarray, batch: int, context: TaskContext, frames: Mapping[int, int]
    ) -> StreamReader[_Drawn]:
        stream = MediaStream(
            self.dataset.root,
            self.dataset.version,
            MEMBERS[kind],
            batch,
            keys,
            self.lanes,
            self.buffer,
            seed=context.recipe.seed,
        )
        seed = context.recipe.seed

        def draw(sample: MediaSample) -> _Drawn:
            rng = np.random.default_rng((seed, sample.key, sample.epoch))
            members = [*sample.media]
            member = members[frames.get(sample.key, int(rng.integers(len(members))))]
            return sample.key, sample.epoch, draw_picture(sample.media[member], self.input, self.augment, rng)

        return stream.open(draw, context.group)


@dataclass(frozen=True, eq=False)
class _Parts:
    """The rows that have a picture and a target, by part and kind."""

    rows: PictureRows
    targets: TowerTargets
    groups: SplitGroups
    leaked_keys: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))

    def select(self, part: int) -> dict[Kind, np.ndarray]:
        """Return kind -> the keys of a part; held-out rows have a target of their own."""
        found: dict[Kind, np.ndarray] = {}
        targets = self.targets
        usable = targets.keys_N if part == TRAIN else targets.keys_N[targets.origins_N == OWN]
        for kind, keys in self.rows.keys.items():
            own = keys[np.isin(keys, usable)]
            own = own[self.groups.part_N[self.groups.find_rows(own)] == part]
            own = own[~np.isin(own, self.leaked_keys)]
            if len(own):
                found[kind] = np.sort(own)
        return found

    def select_all(self, part: int) -> np.ndarray:
        """Return the keys of a part, ascending."""
        return np.sort(np.concatenate([np.empty(0, np.int64), *self.select(part).values()]))

    def list_parts(self) -> dict[int, np.ndarray]:
        """Return part -> its keys, ascending."""
        return {part: self.select_all(part) for part in (TRAIN, VALIDATION, TEST)}


class DatasetPictures:
    """The data of a tower: see `TowerData`.

    Args:
        source: how they are read.
        context: of the training.
        parts: of the rows.
        streams: an open one for each kind of rows.
        windows: of sounds, of which one is drawn an epoch; None for their means.
    """

    def __init__(
        self,
        source: PictureStreams,
        context: TaskContext,
        parts: _Parts,
        streams: Mapping[Kind, StreamReader[_Drawn]],
        windows: SoundWindows | None,
    ) -> None:
        self._source, self._context, self._parts, self._streams = source, context, parts, streams
        self._windows = windows
        self._negatives = self._find_negatives()
        self._held: HeldPictures | None = None

    @property
    def space(self) -> Space:
        """Of the targets."""
        return self._parts.targets.space

    @property
    def steps_per_epoch(self) -> int:
        """The steps after which every picture was seen."""
        return max(stream.steps_per_epoch for stream in self._streams.values())

    @property
    def held(self) -> HeldPictures:
        """A seeded draw of the rows to validate on, decoded when they are first asked for."""
        if self._held is None:
            settings, keys = self._source.input, self._parts.select_all(VALIDATION)
            most = max(2, min(_HELD_ROWS, _HELD_BYTES // (12 * settings.size_px**2)))
            if len(keys) > most:
                keys = np.sort(np.random.default_rng(VALIDATION).choice(keys, most, replace=False))
            frames = dict(self._parts.rows.iterate_frames(keys, settings))
            most_frames = max(len(each) for each in frames.values())
            # A still picture is so many times the same: its mean is itself.
            pixels = np.stack(
                [np.resize(frames[key], (most_frames, *frames[key].shape[1:])) for key in keys.tolist()]
            )
            self._held = HeldPictures(pixels, self._parts.targets.get_units(keys))
        return self._held

    def make_batch(self, step: int, group: WorkerGroup) -> PictureBatch:  # noqa: ARG002 - streams know theirs
        """Return this worker's pictures of a step, and their targets."""
        import torch

        drawn = [sample for stream in self._streams.values() for sample in stream.read_batch(step)]
        keys_n, epochs_n = (np.array([sample[place] for sample in drawn]) for place in (0, 1))
        targets, device = self._parts.targets, self._context.device
        units_nO = targets.get_units(keys_n)
        if self._windows is not None:
            units_nO = self._windows.draw(keys_n, epochs_n, units_nO, self._context.recipe.seed)
        if self._source.pairs.noise:
            is_text_n = targets.origins_N[targets.find_places(keys_n)] == CAPTION
            units_nO = add_noise(
                units_nO, is_text_n, keys_n, epochs_n, self._source.pairs.noise, self._context.recipe.seed
            )

        def move(array: np.ndarray) -> Any:
            return torch.from_numpy(array).to(device)

        return PictureBatch(
            move(np.stack([pixels for _, _, pixels in drawn])),
            move(units_nO),
            move(targets.get_captions(keys_n)) if self._source.loss.soft_captions is not None else None,
            move(self._draw_negatives(keys_n)) if self._negatives is not None else None,
        )

    def score(self, embed: EmbedPixels) -> RetrievalScores | None:
        """Return the scores of a tower on the test rows; None if there are none."""
        keys = self._parts.select_all(TEST)
        settings, targets = self._source.input, self._parts.targets
        frames = self._parts.rows.iterate_frames(keys, settings)
        units = dict(embed_rows(embed, frames))
        if len(units) < 2:
            return None
        groups_N = self._parts.groups.groups_N[self._parts.groups.find_rows(keys)]
        train = self._parts.select_all(TRAIN)
        units_NO = np.stack([units[key] for key in keys.tolist()])
        return score_pictures(self._source.dataset, units_NO, targets, keys, groups_N, train)

    def close(self) -> None:
        """End the threads of the streams."""
        for stream in self._streams.values():
            stream.close()

    def _find_negatives(self) -> tuple[np.ndarray, np.ndarray] | None:
        count = self._source.loss.negatives
        if not count:
            return None
        keys = self._parts.select_all(TRAIN)
        return keys, find_negatives(self._parts.targets, keys, count, _SAME_CAPTION)

    def _draw_negatives(self, keys: np.ndarray) -> np.ndarray:
        assert self._negatives is not None
        known, places = self._negatives
        chosen = places[np.searchsorted(known, keys)].reshape(-1)
        return self._parts.targets.get_units(known[chosen])


def add_noise(  # noqa: PLR0913, PLR0917
    units_nO: np.ndarray,
    is_text_n: np.ndarray,
    keys_n: np.ndarray,
    epochs_n: np.ndarray,
    std: float,
    seed: int,
) -> np.ndarray:
    """Return unit vectors of which those of texts are moved at random, float32 [n, O].

    A row's noise depends on its key and epoch alone: it is the same whichever worker has the row.

    Args:
        units_nO: unit vectors, float32.
        is_text_n: which of them are moved.
        keys_n: of the rows, int64.
        epochs_n: of each row; another one draws another noise.
        std: of the noise on each number.
        seed: of the draws.
    """
    found_nO = units_nO.copy()
    for row in np.flatnonzero(is_text_n).tolist():
        rng = np.random.default_rng((seed, int(keys_n[row]), int(epochs_n[row]), 2))
        noisy_O = units_nO[row] + std * rng.standard_normal(units_nO.shape[1], np.float32)
        found_nO[row] = noisy_O / np.linalg.norm(noisy_O)
    return found_nO


def share_batch(batch: int, counts: Mapping[Kind, int], lanes: int) -> dict[Kind, int]:
    """Return how many rows of a batch each kind gives: in proportion, in multiples of the lanes.

    Args:
        batch: rows of a step.
        counts: kind -> rows in all.
        lanes: of each stream.

    Raises:
        ConfigError: the batch has fewer lanes than there are kinds.
    """
    whole = batch // lanes if lanes > 0 else 0
    if whole < max(1, len(counts)) or batch % lanes:
        raise ConfigError(
            f"a batch of {batch} cannot be divided among {lanes} lanes and {len(counts)} kinds of rows; take "
            "a multiple of the lanes, or fewer lanes"
        )
    total, left = sum(counts.values()), whole
    shares: dict[Kind, int] = {}
    for number, (kind, count) in enumerate(sorted(counts.items(), key=lambda each: each[1])):
        others = len(counts) - number - 1
        own = left if not others else min(max(1, round(whole * count / total)), left - others)
        shares[kind] = own * lanes
        left -= own
    return shares
