"""What a tower is trained on: pictures and the vectors that they are to have.

Shapes: N pictures, F frames of a picture (of a clip four, else one), H x W pixels, O dimensions, M negatives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from pipelines.train.distributed import WorkerGroup
from schemas.space import Space
from schemas.translator_card import RetrievalScores

if TYPE_CHECKING:
    from torch import Tensor

# Pictures of several rows that are scored at once: 38 MB at 224 px.
_EMBEDDED = 256

# Pictures, uint8 [N, H, W, 3] -> their unit vectors, float32 [N, O].
EmbedPixels = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, eq=False)
class PictureBatch:
    """A worker's share of a batch.

    Attributes:
        pixels: uint8 [N, H, W, 3].
        targets_NO: unit vectors, float32.
        captions_NO: unit vectors of the captions, float32, for soft targets; None if they are not used.
        negatives_MO: unit vectors, float32, that no picture of the batch matches; None for none.
    """

    pixels: Tensor
    targets_NO: Tensor
    captions_NO: Tensor | None = None
    negatives_MO: Tensor | None = None


@dataclass(frozen=True, eq=False)
class HeldPictures:
    """Pictures to validate on.

    Attributes:
        pixels: uint8 [N, F, H, W, 3].
        targets_NO: unit vectors, float32.
    """

    pixels: np.ndarray
    targets_NO: np.ndarray


class TowerData(Protocol):
    """The pictures of a training, and those held out."""

    @property
    def space(self) -> Space:
        """Of the targets."""
        ...

    @property
    def steps_per_epoch(self) -> int:
        """The steps after which every picture was seen."""
        ...

    @property
    def held(self) -> HeldPictures:
        """To validate on."""
        ...

    def make_batch(self, step: int, group: WorkerGroup) -> PictureBatch:
        """Return a worker's share of the batch of a step."""
        ...

    def score(self, embed: EmbedPixels) -> RetrievalScores | None:
        """Return the scores of a tower on the pictures that are held out for them; None if there are none."""
        ...

    def close(self) -> None:
        """Release what reads the pictures."""
        ...


def embed_frames(embed: EmbedPixels, frames: np.ndarray) -> np.ndarray:
    """Return one unit vector a picture, float32 [N, O]: of several frames the direction of their mean.

    Args:
        embed: the tower.
        frames: uint8 [N, F, H, W, 3].
    """
    count, frame_count = frames.shape[:2]
    units = embed(frames.reshape(-1, *frames.shape[2:])).reshape(count, frame_count, -1).mean(1)
    found: np.ndarray = units / np.linalg.norm(units, axis=1, keepdims=True).clip(1e-12)
    return found


def embed_rows(
    embed: EmbedPixels, rows: Iterable[tuple[int, np.ndarray]], most: int = _EMBEDDED
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the key and the unit vector, float32 [O], of each row, many of which are embedded together.

    Args:
        embed: the tower.
        rows: key, and uint8 [F, H, W, 3]; F may differ from row to row.
        most: pictures at once, or those of one row.
    """
    keys: list[int] = []
    frames: list[np.ndarray] = []
    for key, each in rows:
        if (frames and len(frames[0]) != len(each)) or (len(frames) + 1) * len(each) > max(most, len(each)):
            yield from zip(keys, embed_frames(embed, np.stack(frames)), strict=True)
            keys, frames = [], []
        keys.append(key)
        frames.append(each)
    if frames:
        yield from zip(keys, embed_frames(embed, np.stack(frames)), strict=True)
