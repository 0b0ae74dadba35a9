"""What an encoder is: towers that turn media into raw vectors of one space, and how they are run.

Shapes: N items, P pieces of an item (the frames of a clip, the windows of a long sound), B rows of a
batch, D dimensions.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from pipelines.errors import SpaceError
from schemas.outcome import outcome
from schemas.space import Space
from schemas.vectors import COLUMNS, Column, Family, Modality, family_of


class Unusable(Exception):
    """Media that a tower can make nothing of; `reason` is one of `invalid` in schemas/outcome.py."""

    def __init__(self, reason: str) -> None:
        super().__init__(str(outcome("invalid", reason)))
        self.reason = reason


class Tower(Protocol):
    """One modality of an encoder. Decoding and the net are apart, so that they can overlap."""

    def prepare(self, item: Any) -> np.ndarray:
        """Return the pieces of one item, [P, ...], as `forward` takes them. Safe to call from threads.

        Args:
            item: the bytes of a picture or sound file, or a text.

        Raises:
            Unusable: nothing can be made of the item.
        """
        ...

    def forward(self, pieces_B: np.ndarray) -> np.ndarray:
        """Return the raw vectors of a batch of pieces, float32 [B, D], not normalised."""
        ...


Towers = Mapping[Modality, Tower]


class Loader(Protocol):
    """Where an encoder comes from. Frozen, hashable and picklable, as a stage is."""

    def space(self) -> Space:
        """Return the space of the encoder's vectors without loading its weights; they are hashed."""
        ...

    def load(self) -> Towers:
        """Load the weights."""
        ...


@dataclass(frozen=True)
class EncoderSpec:
    """An encoder before its weights are loaded: the driver needs the space, a worker the rest."""

    space: Space
    loader: Loader

    def open(self) -> Towers:
        """Return the towers. The stages of a process share one copy of the weights.

        Raises:
            SpaceError: this machine would load something else than the driver saw.
        """
        with _opening:
            if self not in _opened:
                here = self.loader.space()
                if here != self.space:
                    raise SpaceError(
                        f"this machine would encode with {here}, but the dataset is in {self.space} "
                        f"({here.differences(self.space)}); give every machine the same weights and packages"
                    )
                _opened[self] = self.loader.load()
            return _opened[self]


Specs = Mapping[Family, EncoderSpec]

_opening = threading.Lock()
_opened: dict[EncoderSpec, Towers] = {}


def spaces_of_specs(specs: Specs) -> dict[Column, Space]:
    """Return the space of every column that these encoders fill."""
    return {column: specs[family_of(column)].space for column in COLUMNS if family_of(column) in specs}


def encode(tower: Tower, pieces: Sequence[np.ndarray], batch_rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Run prepared items through a tower, in batches of exactly `batch_rows` pieces.

    The net always sees the same shape, so a vector does not depend on what lies beside it.

    Args:
        tower: whose net.
        pieces: of every item, [P, ...]; P may differ.
        batch_rows: the size of a batch; the last one is filled up.

    Returns:
        Unit vectors, float32 [N, D], and norms, float32 [N]: of a single piece the raw norm, of several
        the length of the mean of their unit vectors. A vector without a direction has the norm 0 or NaN.
    """
    raw_MD = np.concatenate(list(_forwards(tower, np.concatenate(pieces), batch_rows)))
    norms_M = np.linalg.norm(raw_MD, axis=1)
    starts_N = np.cumsum([0, *(len(item) for item in pieces[:-1])])
    counts_N = np.array([len(item) for item in pieces])
    with np.errstate(divide="ignore", invalid="ignore"):
        means_ND = np.add.reduceat(raw_MD / norms_M[:, None], starts_N) / counts_N[:, None]
        mean_norms_N = np.linalg.norm(means_ND, axis=1)
        unit_ND = means_ND / mean_norms_N[:, None]
    norms_N = np.where(counts_N == 1, norms_M[starts_N], mean_norms_N)
    return unit_ND.astype(np.float32), norms_N.astype(np.float32)


def _forwards(tower: Tower, pieces_M: np.ndarray, batch_rows: int) -> Iterator[np.ndarray]:
    for start in range(0, len(pieces_M), batch_rows):
        batch = pieces_M[start : start + batch_rows]
        short = batch_rows - len(batch)
        # Filled up with a real piece: zeros would be a text without a token, which is a NaN.
        full = np.concatenate([batch, np.repeat(batch[-1:], short, axis=0)]) if short else batch
        yield tower.forward(full)[: len(batch)]
