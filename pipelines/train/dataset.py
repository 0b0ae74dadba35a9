"""The version of a dataset that a task is trained on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pipelines.store import versions
from pipelines.store.root import Root
from pipelines.store.vectors import VectorReader


@dataclass(frozen=True)
class TrainingDataset:
    """A version of a dataset. A task with a field `dataset` is given the one of the command.

    Attributes:
        root: of the dataset.
        name: of it.
        shard_rows: of it.
        version: its number.
    """

    root: Root
    name: str
    shard_rows: int
    version: int

    def describe(self) -> dict[str, Any]:
        """Return what a training depends on, wherever the root lies."""
        return {"name": self.name, "version": self.version}

    def read_vectors(self) -> VectorReader:
        """Return the reader of the version's vectors, without the rows that it hides."""
        return versions.open_vectors(self.root, versions.read_version(self.root, self.version))
