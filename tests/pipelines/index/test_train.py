import faiss
import numpy as np
import pytest

from pipelines.index import factory
from pipelines.index.build import build_index
from pipelines.index.factory import FactoryChoice
from pipelines.index.train import count_lists, measure_imbalance, train_index
from schemas.dataset import Index


def test_a_device_helps_to_train(stored, gone, drawn, monkeypatch):
    """Where FAISS finds one, the middles are found on it; the index is the one that the CPU finds."""
    monkeypatch.setattr(factory, "FLAT_ROWS", 100)
    root, shards = stored(clip_image=drawn(3000))
    alone = build_index(root, "main", "clip_image", shards, gone(), Index(), 1)
    moved = []
    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 1)
    monkeypatch.setattr(faiss, "index_cpu_to_all_gpus", lambda index: moved.append(index) or index)

    helped = build_index(root, "main", "clip_image", shards, gone(), Index(), 1)

    assert 1 == len(moved)
    assert f"IVF{moved[0].ntotal},SQfp16" == helped.factory
    assert alone.model_dump(exclude={"build_s"}) == helped.model_dump(exclude={"build_s"})


def test_lists_are_counted_and_compared(drawn):
    """Half of the rows in one of two lists are no imbalance, nearly all of them are; Flat has no lists."""
    lists = train_index(drawn(200), FactoryChoice("IVF2,SQfp16", 200, 2, 0), 16)
    flat = train_index(np.empty((0, 16), np.float32), FactoryChoice("Flat", 0, 0, 0), 16)
    middles_2D = lists.quantizer.reconstruct_n(0, 2)
    lists.add_with_ids(np.repeat(middles_2D, 10, axis=0), np.arange(20))
    even = measure_imbalance(lists)
    lists.add_with_ids(np.repeat(middles_2D[:1], 180, axis=0), np.arange(20, 200))

    assert (2, 0) == (count_lists(lists), count_lists(flat))
    assert 1 == even
    assert measure_imbalance(lists) == pytest.approx(2 * (0.95**2 + 0.05**2))
    assert measure_imbalance(flat) is None
