"""How well a tower finds the sounds of pictures that nothing was trained on, as a translator's card has it.

Shapes: N held-out rows, O dimensions, C labels.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from pipelines.metrics.retrieval import LabelPrototypes, score
from pipelines.store.splits import hash_text
from pipelines.train.dataset import TrainingDataset
from pipelines.train.towers.targets import TowerTargets
from schemas.candidate import format_key, parse_key
from schemas.translator_card import RetrievalScores


def score_pictures(  # noqa: PLR0913, PLR0917
    dataset: TrainingDataset,
    units_NO: np.ndarray,
    targets: TowerTargets,
    keys_N: np.ndarray,
    groups_N: np.ndarray,
    train_keys: np.ndarray,
) -> RetrievalScores:
    """Return the scores of a tower's vectors of held-out rows.

    Args:
        dataset: whose rows.
        units_NO: vectors of the tower.
        targets: of all rows.
        keys_N: of the held-out rows, int64, ascending.
        groups_N: of near copies.
        train_keys: of rows that were trained on, whose labels have mean targets.
    """
    labels_N = read_labels(dataset, keys_N)
    classes = _make_prototypes(dataset, targets, train_keys, labels_N)
    return score(units_NO, targets.get_units(keys_N), groups_N, classes)


def _make_prototypes(
    dataset: TrainingDataset, targets: TowerTargets, train_keys: np.ndarray, labels_N: np.ndarray
) -> LabelPrototypes:
    known_N = read_labels(dataset, train_keys)
    labelled = known_N != 0
    labels_C, places = np.unique(known_N[labelled], return_inverse=True)
    sums_CO = np.zeros((len(labels_C), targets.space.dims), np.float32)
    np.add.at(sums_CO, places, targets.get_units(train_keys[labelled]))
    return LabelPrototypes(
        labels_N, labels_C, sums_CO / np.linalg.norm(sums_CO, axis=1, keepdims=True).clip(1e-12)
    )


def read_labels(dataset: TrainingDataset, keys_N: np.ndarray) -> np.ndarray:
    """Return the hash of each row's label, uint64 [N]; 0 where its list gives none.

    Args:
        dataset: whose rows.
        keys_N: int64, ascending.
    """
    found = np.zeros(len(keys_N), np.uint64)
    for shard in dataset.read_vectors().shards:
        first = int(format_key(shard.number, 0, dataset.shard_rows))
        start, stop = np.searchsorted(keys_N, (first, first + shard.rows)).tolist()
        if start == stop:
            continue
        rows = pa.array([parse_key(key, dataset.shard_rows)[1] for key in keys_N[start:stop].tolist()])
        labels = dataset.root.read_table(f"candidates/{shard.name}.parquet", columns=["label"])["label"]
        found[start:stop] = [hash_text(label) if label else 0 for label in labels.take(rows).to_pylist()]
    return found
