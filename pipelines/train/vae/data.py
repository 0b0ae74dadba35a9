"""What a VAE of spectrograms is trained on: segments of sounds, and the class of each.

Shapes: N segments, H bands, S frames, C classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from pipelines.train.distributed import WorkerGroup

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, eq=False)
class SegmentBatch:
    """Some segments.

    Attributes:
        spectrograms: standardised, float32 `[N, 1, H, S]`.
        classes_N: int64; C of a sound whose class is none of the training's.
    """

    spectrograms: Tensor
    classes_N: Tensor


class VaeData(Protocol):
    """The segments of a training, and those held out, which are of other sources."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Of the training sounds; empty of a training without."""
        ...

    @property
    def counts(self) -> tuple[int, ...]:
        """Training sounds of each class."""
        ...

    @property
    def steps_per_epoch(self) -> int | None:
        """The steps after which every sound was heard; None of data without end."""
        ...

    @property
    def held(self) -> SegmentBatch:
        """To validate on."""
        ...

    def make_batch(self, step: int, group: WorkerGroup) -> SegmentBatch:
        """Return a worker's share of the batch of a step."""
        ...

    def read_training(self, limit: int) -> SegmentBatch:
        """Return so many training sounds at most, always the same."""
        ...

    def close(self) -> None:
        """Release what reads the sounds."""
        ...
