"""A sample of vectors -> a trained, empty index.

Shapes: N rows, D dimensions.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pipelines.index.factory import FactoryChoice

_SEED = 1234


def train_index(sample_ND: np.ndarray, choice: FactoryChoice, dims: int) -> Any:
    """Return a trained, empty index; the same sample and number of threads give the same one.

    Args:
        sample_ND: what it is trained with; ignored by a kind that needs no training.
        choice: the kind of index.
        dims: of a vector.
    """
    import faiss

    factory = choice.factory if choice.lists else f"IDMap2,{choice.factory}"
    empty = faiss.index_factory(dims, factory, faiss.METRIC_INNER_PRODUCT)
    if not choice.training_rows:
        return empty
    inverted: Any = faiss.downcast_index(faiss.extract_index_ivf(empty))
    inverted.cp.seed = _SEED
    if isinstance(inverted, faiss.IndexIVFPQ):
        inverted.pq.cp.seed = _SEED
    if faiss.get_num_gpus():
        # Nine tenths of the time go into comparing the sample with the centroids of the lists.
        inverted.clustering_index = faiss.index_cpu_to_all_gpus(faiss.IndexFlatIP(dims))
    empty.train(sample_ND)
    inverted.clustering_index = None
    return empty


def count_lists(index: Any) -> int:
    """Return the number of inverted lists of an index; 0 if it is of another kind."""
    import faiss

    inverted = faiss.try_extract_index_ivf(index)
    return int(inverted.nlist) if inverted is not None else 0


def measure_imbalance(index: Any) -> float | None:
    """Return how much longer a search takes than with lists of one length; None where there are no lists."""
    import faiss

    inverted: Any = faiss.try_extract_index_ivf(index)
    return round(float(inverted.invlists.imbalance_factor()), 4) if inverted is not None else None
