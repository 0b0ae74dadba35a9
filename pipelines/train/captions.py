"""The captions of rows by their keys."""

from __future__ import annotations

import numpy as np

from pipelines.store.vectors import VectorReader
from pipelines.train.dataset import TrainingDataset
from schemas.candidate import parse_key


def read_captions(dataset: TrainingDataset, reader: VectorReader, keys: np.ndarray) -> list[str]:
    """Return the captions of rows, in the order of their keys.

    Args:
        dataset: that has them.
        reader: of its version.
        keys: ascending.
    """
    shards = {shard.number: shard for shard in reader.shards}
    found: list[str] = []
    table: tuple[int, list[str]] = (-1, [])
    for key in keys.tolist():
        number, row = parse_key(key, dataset.shard_rows)
        if table[0] != number:
            name = f"candidates/{shards[number].name}.parquet"
            table = number, dataset.root.read_table(name, columns=["caption"])["caption"].to_pylist()
        found.append(table[1][row])
    return found
