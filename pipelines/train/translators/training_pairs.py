"""The pairs of one data set of a preset over one version: where they are, and the table once it is read."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.store import versions
from pipelines.train.dataset import TrainingDataset
from pipelines.train.translators.pair_reading import read_pairs
from pipelines.train.translators.pairs import PairTable
from schemas.training import Experiment, TrainingPreset

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass
class TrainingPairs:
    """The pairs of a data set. Picklable before they are read.

    Attributes:
        dataset: whose vectors.
        training: the preset.
        data: the name of the data set.
    """

    dataset: TrainingDataset
    training: TrainingPreset
    data: str
    _table: PairTable | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def experiments(self) -> tuple[Experiment, ...]:
        """The experiments over this data set, in the order of the preset."""
        return tuple(each for each in self.training.expand() if each.data == self.data)

    def read(self, scratch: Path) -> PairTable:
        """Return the pairs of the version, read once in a process.

        Args:
            scratch: a folder to map more than `fit.memory_pairs` from.
        """
        if self._table is None:
            self._table = self._read(scratch)
        return self._table

    def _read(self, scratch: Path) -> PairTable:
        vectors = self.dataset.read_vectors()
        rows = sum(shard.rows for shard in vectors.shards)
        mapped = scratch if rows > self.training.fit.memory_pairs else None
        mix, split = self.training.data[self.data], self.training.split
        return read_pairs(vectors, self.dataset.shard_rows, mix, split, mapped)

    def read_set(self) -> str:
        """Return the set of vectors that the pairs are of."""
        return versions.read_version(self.dataset.root, self.dataset.version).set

    def describe(self) -> dict[str, Any]:
        """Return what a training depends on, wherever the root lies."""
        mix = [pairs.model_dump(mode="json", by_alias=True) for pairs in self.training.data[self.data]]
        split = self.training.split.model_dump(mode="json")
        return {"dataset": self.dataset.describe(), "data": mix, "split": split}


def load_tensors(table: PairTable, rows: np.ndarray, device: torch.device | str) -> tuple[Tensor, Tensor]:
    """Return pairs on a device, float32 `[n, I]` and `[n, O]`."""
    import torch

    source_NI, target_NO = table.get_pairs(rows)
    return torch.from_numpy(source_NI).to(device), torch.from_numpy(target_NO).to(device)
