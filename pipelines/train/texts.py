"""What a version says of rows in words: their captions or labels."""

from __future__ import annotations

from typing import Literal

import numpy as np

from pipelines.store.vectors import VectorReader
from pipelines.train.dataset import TrainingDataset
from schemas.candidate import parse_key


def read_texts(
    dataset: TrainingDataset,
    reader: VectorReader,
    keys: np.ndarray,
    column: Literal["caption", "label"] = "caption",
) -> list[str]:
    """Return the texts of rows, in the order of their keys; "" of a row that has none.

    Args:
        dataset: that has them.
        reader: of its version.
        keys: ascending, so that a table is read once.
        column: of the candidates.
    """
    shards = {shard.number: shard for shard in reader.shards}
    found: list[str] = []
    table: tuple[int, list[str | None]] = (-1, [])
    for key in keys.tolist():
        number, row = parse_key(key, dataset.shard_rows)
        if table[0] != number:
            name = f"candidates/{shards[number].name}.parquet"
            table = number, dataset.root.read_table(name, columns=[column])[column].to_pylist()
        found.append(table[1][row] or "")
    return found
