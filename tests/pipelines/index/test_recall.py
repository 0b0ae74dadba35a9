import faiss
import numpy as np
import pytest

from pipelines.index.neighbours import Neighbours
from pipelines.index.recall import ExactNeighbours, QuerySample, find_worst

NONE = np.empty(0, dtype=np.int64)


def flat(vectors_ND, keys):
    index = faiss.index_factory(vectors_ND.shape[1], "IDMap2,Flat", faiss.METRIC_INNER_PRODUCT)
    index.add_with_ids(vectors_ND, keys)
    return Neighbours(index, None, NONE)


@pytest.fixture
def truth(drawn):
    """Ten rows of six hundred that ask the column they come from, compared block by block."""

    def make(vectors_ND, own=True):
        ids = np.arange(10) * 7
        exact = ExactNeighbours(QuerySample(ids, vectors_ND[ids], own))
        for start in range(0, len(vectors_ND), 90):
            block_ND = vectors_ND[start : start + 90]
            exact.update(np.arange(start, start + len(block_ND)), block_ND)
        return exact

    return make


def test_exact_search_finds_all(truth, drawn):
    """Whatever the blocks were, a Flat index has every neighbour that is true."""
    vectors_ND = drawn(600)

    assert {1: 1.0, 10: 1.0, 100: 1.0} == truth(vectors_ND).measure_recall(flat(vectors_ND, np.arange(600)))


def test_what_an_index_lacks_is_missed(truth, drawn):
    """Without a tenth of the rows, the share that numpy counts is found."""
    vectors_ND = drawn(600)
    keys = np.flatnonzero(np.arange(600) % 10 != 3)
    scores = vectors_ND[np.arange(10) * 7] @ vectors_ND.T
    scores[np.arange(10), np.arange(10) * 7] = -np.inf
    nearest = np.argsort(-scores, axis=1)

    recall = truth(vectors_ND).measure_recall(flat(vectors_ND[keys], keys))

    for k in (1, 10, 100):
        assert recall[k] == pytest.approx(np.mean(nearest[:, :k] % 10 != 3))


def test_the_own_row_counts_only_for_another_column(truth, drawn):
    """An index of the queries alone has the first neighbour of every one, unless that is the query itself."""
    vectors_ND = drawn(600)
    rows = np.arange(10) * 7
    alone = flat(vectors_ND[rows], rows)

    assert 1.0 == truth(vectors_ND, own=False).measure_recall(alone)[1]
    assert truth(vectors_ND, own=True).measure_recall(alone)[1] < 1.0


def test_equal_vectors_are_interchangeable(truth, drawn):
    """One picture under several captions: any of its keys is right."""
    vectors_ND = np.concatenate([drawn(300), drawn(300)])
    half = np.arange(300, 600)

    assert 1.0 == truth(vectors_ND, own=False).measure_recall(flat(vectors_ND[half], half))[1]


def test_the_worst_column_decides():
    """By recall@10, whatever the others are."""
    assert 0.5 == find_worst([{1: 0.2, 10: 0.9, 100: 1.0}, {1: 0.9, 10: 0.5, 100: 0.5}])
