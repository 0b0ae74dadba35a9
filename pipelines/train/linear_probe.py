"""A linear probe: how much of a vector can be read from the pixels of a picture by one matrix.

The smallest task over media: pictures stream from the tars of a version, their targets come from its tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from pipelines.decode.pixels import open_picture
from pipelines.errors import ConfigError
from pipelines.store.keyed_vectors import read_keyed_vectors
from pipelines.store.split_groups import find_parts
from pipelines.store.splits import TRAIN, VALIDATION
from pipelines.train.dataset import TrainingDataset
from pipelines.train.distributed import WorkerGroup
from pipelines.train.stream import MediaSample, MediaStream
from pipelines.train.task import Scores, StepDraw, StepLoss, Task, TaskContext
from schemas.families import Column, check_column
from schemas.training import SplitSettings

if TYPE_CHECKING:
    from torch import Tensor, nn

# Held-out rows that are validated on at most; their pixels stay in memory.
_HELD_ROWS = 2_000


@dataclass
class LinearProbe(Task):
    """The task: the pixels of a picture -> the vector of a column of the same row.

    Attributes:
        dataset: whose rows.
        target: the column.
        picture: the member that is decoded: `jpg` of images, `0.jpg` of clips.
        side_px: of the square that a picture is shrunk to.
        lanes: of the stream.
        buffer: rows that a lane shuffles together.
        split: which rows are held out.
    """

    is_mean: ClassVar[bool] = True

    dataset: TrainingDataset
    target: Column = "clap_audio"
    picture: str = "0.jpg"
    side_px: int = 16
    lanes: int = 8
    buffer: int = 256
    split: SplitSettings = field(default_factory=SplitSettings)
    _stream: Any = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        # A preset's file gives keys.
        self.split = SplitSettings.model_validate(self.split)
        check_column(str(self.target))

    def open(self, context: TaskContext) -> Self:
        """Read the targets, and open the stream of pictures.

        Raises:
            ConfigError: there are too few rows to train or to validate on.
        """
        reader = self.dataset.read_vectors()
        self._targets = targets = read_keyed_vectors(reader, self.target)
        root, rows, recipe = self.dataset.root, self.dataset.shard_rows, context.recipe
        part_N = find_parts(root, reader.shards, rows, targets.keys_N, self.split)
        train, held = (targets.keys_N[part_N == part] for part in (TRAIN, VALIDATION))
        if len(train) < recipe.batch or not len(held):
            raise ConfigError(
                f"{len(train)} rows to train on and {len(held)} to validate on are too few for batches of "
                f"{recipe.batch}; take more rows, or a smaller recipe.batch"
            )
        self._mean_D = targets.get_vectors(train).mean(0)
        stream = self._make_stream(train, recipe.batch, self.lanes, recipe.seed)
        self._stream = stream.open(self._decode, context.group)
        with self._make_stream(held, 1, 1, recipe.seed).open(self._decode) as held_stream:
            samples = [held_stream.read_batch(step)[0] for step in range(min(len(held), _HELD_ROWS))]
        super().open(context)
        self._held = self._join(samples)
        return self

    def _make_stream(self, keys: np.ndarray, batch: int, lanes: int, seed: int) -> MediaStream:
        return MediaStream(
            self.dataset.root,
            self.dataset.version,
            (self.picture,),
            batch,
            keys,
            lanes,
            self.buffer,
            seed=seed,
        )

    def _decode(self, sample: MediaSample) -> tuple[int, np.ndarray]:
        from PIL import Image

        picture = open_picture(sample.media[self.picture]).convert("RGB")
        small = picture.resize((self.side_px, self.side_px), Image.Resampling.BOX)
        return sample.key, np.asarray(small, np.float32).reshape(-1) / 127.5 - 1

    def _join(self, samples: list[tuple[int, np.ndarray]]) -> tuple[Tensor, Tensor]:
        import torch

        keys, pixels = zip(*samples, strict=True)
        arrays = np.stack(pixels), self._targets.get_vectors(np.array(keys))
        pixels_NP, target_ND = (torch.from_numpy(each).to(self.context.device) for each in arrays)
        return pixels_NP, target_ND

    def close(self) -> None:
        """End the threads of the stream, if it was opened."""
        if self._stream is not None:
            self._stream.close()

    def count_steps(self) -> int:
        """Return the steps after which every row was seen."""
        return int(self._stream.steps_per_epoch)

    def build(self, seed: int) -> nn.Module:  # noqa: ARG002 - the trainer has set it
        """Return one matrix."""
        import torch

        return torch.nn.Linear(3 * self.side_px**2, self._targets.space.dims)

    def make_batch(self, step: int, group: WorkerGroup) -> tuple[Tensor, Tensor]:  # noqa: ARG002
        """Return pixels `[n, P]` and targets `[n, D]` of this worker's lanes."""
        return self._join(self._stream.read_batch(step))

    def compute_loss(
        self, net: nn.Module, batch: tuple[Tensor, Tensor], draw: StepDraw, group: WorkerGroup
    ) -> StepLoss:
        """Return 1 - the mean cosine."""
        from torch.nn.functional import normalize

        from pipelines.train.losses import cosine

        pixels_NP, target_ND = batch
        with draw.use_autocast():
            output_ND = net(pixels_NP)
        return StepLoss(cosine(normalize(output_ND.float(), dim=-1), target_ND) / group.size)

    def validate(self, net: nn.Module) -> Mapping[str, Scores]:
        """Return the mean cosine of held-out rows, and that of the mean target, which sees nothing."""
        import torch
        from torch.nn.functional import cosine_similarity

        pixels_NP, target_ND = self._held
        with torch.inference_mode():
            seen = float(cosine_similarity(net(pixels_NP), target_ND).mean())
            mean_D = torch.from_numpy(self._mean_D).to(target_ND.device)
            unseen = float(cosine_similarity(mean_D[None], target_ND).mean())
        return {"": {"cosine": seen, "cosine_of_the_mean": unseen}}


TASKS: dict[str, Any] = {"linear_probe": LinearProbe}
