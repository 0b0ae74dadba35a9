"""The task `joint_towers`: a tower of pictures and one of sounds, both trained, into a space of their own.

The second seed's form. Such towers may find each other's media perfectly, and their vectors still mean
nothing to a generator that was trained with another encoder of sounds: two spaces that are learned apart
differ by any rotation.

Shapes: N rows, F frames, H x W pixels, T samples, D dimensions.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np

from pipelines.decode.tower_input import cut_wave
from pipelines.encode.loaders.waveform import decode_mono
from pipelines.errors import ConfigError
from pipelines.models.towers import build_towers, save_towers
from pipelines.store.split_groups import find_parts
from pipelines.store.splits import TEST, TRAIN, VALIDATION
from pipelines.train.dataset import TrainingDataset
from pipelines.train.distributed import WorkerGroup
from pipelines.train.losses import symmetric_info_nce
from pipelines.train.stream import MediaSample, MediaStream
from pipelines.train.task import Scores, StepDraw, StepLoss, TaskContext
from pipelines.train.towers.leaks import find_leaked
from pipelines.train.towers.picture_rows import MEMBERS, read_picture_rows
from pipelines.train.towers.pictures import draw_picture, normalize_pixels
from pipelines.train.towers.pretrained import FirstWeights, find_first_weights
from pipelines.train.towers.task import check_parts
from pipelines.train.whole_batch import Vectors, WholeBatchTask
from schemas.towers import PictureAugmentation, SoundTowerSettings, TowerNet, TowersCard
from schemas.training import SplitSettings

if TYPE_CHECKING:
    from torch import Tensor, nn

_SOUND = "flac"
# Rows that are validated on at most; their media stay in memory.
_HELD_ROWS = 512
_PLAIN = PictureAugmentation(crop=1.0, flip=False, colour=0.0)


class MediaPair(NamedTuple):
    """A batch of both media.

    Attributes:
        pixels: uint8 [N, H, W, 3].
        waves_NT: float32.
    """

    pixels: Tensor
    waves_NT: Tensor


@dataclass
class JointTowers(WholeBatchTask):
    """The task: clips -> two towers whose vectors of one clip are near each other.

    Attributes:
        dataset: whose clips.
        net: of pictures.
        sound: of sounds.
        temperature: of InfoNCE, fixed.
        augment: of pictures; nothing is drawn if not given.
        lanes: of the stream.
        buffer: rows that a lane shuffles together.
        split: which rows are held out.
    """

    dataset: TrainingDataset
    net: TowerNet = field(default_factory=lambda: TowerNet(layer_norm=True, norm="batch"))
    sound: SoundTowerSettings = field(default_factory=SoundTowerSettings)
    temperature: float = 0.07
    augment: PictureAugmentation = _PLAIN
    lanes: int = 8
    buffer: int = 256
    split: SplitSettings = field(default_factory=SplitSettings)
    _stream: Any = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        # A preset's file gives keys.
        self.split = SplitSettings.model_validate(self.split)

    def open(self, context: TaskContext) -> Self:
        """Open the stream of clips, and read those held out.

        Raises:
            ConfigError: there are too few clips to train or to validate on.
        """
        super().open(context)
        check_parts(self.net, context.recipe)
        self._first: FirstWeights = find_first_weights(self.net, self.sound.dims)
        reader, recipe = self.dataset.read_vectors(), context.recipe
        rows = read_picture_rows(self.dataset.root, reader.shards, self.dataset.shard_rows)
        keys_N = np.sort(rows.keys["clip"])
        part_N = find_parts(self.dataset.root, reader.shards, self.dataset.shard_rows, keys_N, self.split)
        parts = {part: keys_N[part_N == part] for part in (TRAIN, VALIDATION, TEST)}
        train = parts[TRAIN]
        leaked = find_leaked(reader, parts, self.split.leak_cosine)
        held = parts[VALIDATION][~np.isin(parts[VALIDATION], leaked)]
        if len(train) < recipe.batch or len(held) < 2:
            raise ConfigError(
                f"{len(train)} clips to train on and {len(held)} to validate on are too few for batches of "
                f"{recipe.batch}; build more clips, or take a smaller recipe.batch"
            )
        self._stream = self._make_stream(train, recipe.batch, self.lanes).open(self._draw, context.group)
        with self._make_stream(held, 1, 1).open(self._read) as stream:
            samples = [stream.read_batch(step)[0] for step in range(min(len(held), _HELD_ROWS))]
        self._held = self._join(samples)
        return self

    def check(self, context: TaskContext) -> None:
        """Open the task for a moment: what it needs lies in the dataset.

        Raises:
            ConfigError: as of `open`.
        """
        with closing(self):
            self.open(context)

    def close(self) -> None:
        """End the threads of the stream, if it was opened."""
        if self._stream is not None:
            self._stream.close()

    def count_steps(self) -> int:
        """Return the steps after which every clip was seen."""
        return int(self._stream.steps_per_epoch)

    def build(self, seed: int) -> nn.Module:  # noqa: ARG002 - the trainer has set it
        """Return both towers."""
        return build_towers(self.make_towers_card(), self._first.initialize)

    def make_batch(self, step: int, group: WorkerGroup) -> MediaPair:  # noqa: ARG002 - the stream knows it
        """Return the clips of this worker's lanes."""
        return self._join(self._stream.read_batch(step))

    def split_batch(self, batch: MediaPair, count: int) -> list[MediaPair]:
        """Return a batch in equal parts."""
        return [MediaPair(*part) for part in super().split_batch(tuple(batch), count)]

    def embed(self, net: nn.Module, batch: MediaPair, draw: StepDraw) -> Vectors:
        """Return unit vectors of pictures and sounds, `[N, D]` each."""
        from torch.nn.functional import normalize

        towers: Any = net
        pixels = normalize_pixels(batch.pixels, self._first.settings.input)
        with draw.use_autocast():
            raw = towers["image"](pixels), towers["audio"](batch.waves_NT)
        image_ND, audio_ND = (normalize(each.float(), dim=-1) for each in raw)
        return image_ND, audio_ND

    def compute_criterion(
        self,
        net: nn.Module,  # noqa: ARG002 - the temperature is fixed
        vectors: Vectors,
        batch: MediaPair,  # noqa: ARG002 - each matches itself alone
        group: WorkerGroup,
    ) -> StepLoss:
        """Return InfoNCE over the whole batch."""
        image_ND, audio_ND = (group.gather_all(each) for each in vectors)
        return StepLoss(group.share_value(symmetric_info_nce(image_ND, audio_ND, 1 / self.temperature)))

    def validate(self, net: nn.Module) -> Mapping[str, Scores]:
        """Return how often the sound of a held-out picture is the nearest, and the mean cosine."""
        import torch
        from torch.nn.functional import normalize

        towers: Any = net
        with torch.inference_mode():
            pixels = normalize_pixels(self._held.pixels, self._first.settings.input)
            image_ND = normalize(towers["image"](pixels).float(), dim=-1)
            audio_ND = normalize(towers["audio"](self._held.waves_NT).float(), dim=-1)
            cosines_NN = image_ND @ audio_ND.T
        own = torch.arange(len(cosines_NN), device=cosines_NN.device)
        return {
            "": {
                "r1": float((cosines_NN.argmax(1) == own).float().mean()),
                "back_r1": float((cosines_NN.argmax(0) == own).float().mean()),
                "cosine": float(cosines_NN.diagonal().mean()),
            }
        }

    def make_towers_card(self) -> TowersCard:
        """Return the card of both towers, which join no other space."""
        return TowersCard(image=self._first.settings, audio=self.sound, pretrained=self._first.described)

    def save(self, net: nn.Module, folder: Path) -> None:
        """Write both towers and their card; the loader `tower` reads them."""
        towers: Any = net
        save_towers(towers, self.make_towers_card(), folder)

    def _make_stream(self, keys: np.ndarray, batch: int, lanes: int) -> MediaStream:
        members = (*MEMBERS["clip"], _SOUND)
        seed = self.context.recipe.seed
        return MediaStream(
            self.dataset.root, self.dataset.version, members, batch, keys, lanes, self.buffer, seed=seed
        )

    def _draw(self, sample: MediaSample) -> tuple[np.ndarray, np.ndarray]:
        """Return a frame and a part of the sound, both drawn anew every epoch."""
        rng = np.random.default_rng((self.context.recipe.seed, sample.key, sample.epoch))
        frames = MEMBERS["clip"]
        frame = frames[int(rng.integers(len(frames)))]
        pixels = draw_picture(sample.media[frame], self._first.settings.input, self.augment, rng)
        return pixels, self._read_wave(sample, float(rng.random()))

    def _read(self, sample: MediaSample) -> tuple[np.ndarray, np.ndarray]:
        """Return the first frame and the middle of the sound."""
        rng = np.random.default_rng(0)
        first = sample.media[MEMBERS["clip"][0]]
        return draw_picture(first, self._first.settings.input, _PLAIN, rng), self._read_wave(sample, 0.5)

    def _read_wave(self, sample: MediaSample, place: float) -> np.ndarray:
        samples_T = decode_mono(sample.media[_SOUND], self.sound.rate_hz)
        return cut_wave(samples_T, self.sound.samples, place)

    def _join(self, samples: list[tuple[np.ndarray, np.ndarray]]) -> MediaPair:
        import torch

        pixels, waves = zip(*samples, strict=True)
        device = self.context.device
        return MediaPair(
            torch.from_numpy(np.stack(pixels)).to(device), torch.from_numpy(np.stack(waves)).to(device)
        )


TASKS = {"joint_towers": JointTowers}
