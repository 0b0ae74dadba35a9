import faiss
import numpy as np
import pytest

from pipelines.index.neighbours import KeyFilter, Neighbours
from pipelines.lookup.dedup import DUPLICATE_COSINE, drop_near_duplicates, extend_search

DIMS = 32


def unit(vectors_ND):
    return (vectors_ND / np.linalg.norm(vectors_ND, axis=-1, keepdims=True)).astype(np.float32)


def crowd(groups, copies, seed=0):
    """So many directions, and of each so many copies that differ a little."""
    draw = np.random.default_rng(seed)
    middles_GD = unit(draw.standard_normal((groups, DIMS)))
    return unit(np.repeat(middles_GD, copies, axis=0) + 0.01 * draw.standard_normal((groups * copies, DIMS)))


def greedy(vectors_ND, query_D, k):
    """What is meant, in the plainest way."""
    kept = []
    for key in np.lexsort((np.arange(len(vectors_ND)), -(vectors_ND @ query_D))):
        if all(vectors_ND[key] @ vectors_ND[other] < DUPLICATE_COSINE for other in kept):
            kept.append(int(key))
    return kept[:k]


@pytest.mark.parametrize("factory", ["IDMap2,Flat", "IVF16,SQfp16"])
@pytest.mark.parametrize("k", [1, 10, 29, 30, 100])
def test_one_of_each_crowd(factory, k):
    """However large the crowds are, further rows are searched until there are k, or no more."""
    vectors_ND = crowd(30, 200)
    index = faiss.index_factory(DIMS, factory, faiss.METRIC_INNER_PRODUCT)
    index.train(vectors_ND)
    index.add_with_ids(vectors_ND, np.arange(len(vectors_ND)))
    neighbours = Neighbours(index, None if "Flat" in factory else 16, np.empty(0, dtype=np.int64))
    query_D = unit(vectors_ND[0] + vectors_ND[5000])
    every = KeyFilter.from_mask(np.ones(len(vectors_ND), dtype=bool))

    scores, keys = drop_near_duplicates(
        extend_search(neighbours, query_D, 1, every), lambda of: vectors_ND[of], k
    )

    assert greedy(vectors_ND, query_D, k) == keys.tolist()
    np.testing.assert_allclose(vectors_ND[keys] @ query_D, scores, atol=1e-3)


def test_nothing_near_is_found_twice(ask):
    """No two hits have nearly one direction, and the best of all is among them."""
    hits = ask(text="image number 3", k=1000, distinct=True, vectors=True)
    vectors_KD = np.array([hit.vector for hit in hits])
    cosines_KK = vectors_KD @ vectors_KD.T - 2 * np.eye(len(hits))

    assert ask(text="image number 3", k=1)[0].key == hits[0].key
    assert cosines_KK.max() < DUPLICATE_COSINE
    assert 1 < len(hits) < 22
    assert sorted((hit.score for hit in hits), reverse=True) == [hit.score for hit in hits]


def test_a_row_is_no_answer_to_itself(ask):
    """More like this, and each of it once."""
    assert "000004" not in {hit.key for hit in ask(key="000004", k=1000, distinct=True)}
