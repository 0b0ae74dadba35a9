from concurrent.futures import ThreadPoolExecutor

import faiss
import numpy as np
import pytest

from pipelines.index.neighbours import KeyFilter, Neighbours

NONE = np.empty(0, dtype=np.int64)
FACTORIES = ("IDMap2,Flat", "IVF32,SQfp16", "PCAR16,IVF32,PQ8x4np")


@pytest.fixture
def made(drawn):
    """An index of some factory over rows, and its vectors; keys are three times the row."""

    def make(name, rows=3000, nprobe=2, removed=NONE):
        vectors_ND = drawn(rows)
        index = faiss.index_factory(16, name, faiss.METRIC_INNER_PRODUCT)
        index.train(drawn(3000))
        index.add_with_ids(vectors_ND, np.arange(rows) * 3)
        return Neighbours(index, None if "Flat" in name else nprobe, removed), vectors_ND

    return make


@pytest.mark.parametrize("name", FACTORIES)
@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 1.0])
def test_only_what_passes_is_found(made, drawn, name, share):
    """However few rows pass, all of them are found if they are asked for, and no other is."""
    neighbours, _ = made(name)
    rows = np.flatnonzero(np.random.default_rng(3).random(3000) < share)
    allowed = np.zeros(9000, dtype=bool)
    allowed[rows * 3] = True

    _, keys = neighbours.search(drawn(20, seed=4), 3000, KeyFilter.from_mask(allowed))

    assert (20, len(rows)) == keys.shape
    for found in keys:
        assert sorted(found) == (rows * 3).tolist()


@pytest.mark.parametrize("rows", [30, 20_100])
def test_a_filter_does_not_cost_recall(made, drawn, monkeypatch, rows):
    """Few rows are compared one by one; of many, as many are looked at as without the filter."""
    monkeypatch.setattr("pipelines.index.neighbours._FEW_ROWS", 20_000)
    neighbours, vectors_ND = made("IVF32,SQfp16", 40_200, nprobe=16)
    queries_ND = drawn(100, seed=4)
    passing = np.random.default_rng(3).permutation(40_200)[:rows]
    allowed = np.zeros(3 * 40_200, dtype=bool)
    allowed[passing * 3] = True
    truth = passing[np.argsort(-(queries_ND @ vectors_ND[passing].T), axis=1)[:, :10]] * 3

    _, keys = neighbours.search(queries_ND, 10, KeyFilter.from_mask(allowed))

    recall = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(truth, keys, strict=True)])
    assert recall > (0.99 if rows == 30 else 0.97)


@pytest.mark.parametrize("name", FACTORIES)
def test_nothing_is_left(made, drawn, name):
    """All rows are gone: no row, rather than any."""
    neighbours, _ = made(name, 50, removed=np.arange(50) * 3)

    scores, keys = neighbours.search(drawn(3, seed=4), 10)

    assert {-1} == set(keys.ravel().tolist())
    assert np.isneginf(scores).all()


def test_an_empty_index_has_no_rows(drawn):
    """Asked for ten, it gives none."""
    empty = faiss.index_factory(16, "IDMap2,Flat", faiss.METRIC_INNER_PRODUCT)

    assert (2, 0) == Neighbours(empty, None, NONE).search(drawn(2), 10)[1].shape


@pytest.mark.parametrize("name", FACTORIES)
def test_many_rows_asked_for_are_all_found(made, drawn, name):
    """More than the lists that are looked at hold: others are looked at, for the queries that need it."""
    neighbours, _ = made(name, 600, nprobe=1, removed=np.array([3, 6]))

    _, keys = neighbours.search(drawn(10, seed=4), 600)

    for found in keys:
        assert {n * 3 for n in range(600)} - {3, 6} == set(found.tolist()) - {-1}


@pytest.mark.parametrize("name", FACTORIES)
def test_threads_do_not_disturb_each_other(made, drawn, name):
    """FAISS changes the parameters of a search while it runs, so no two searches may share them."""
    neighbours, _ = made(name, removed=np.arange(0, 3000, 7) * 3)
    queries_ND = drawn(200, seed=4)
    expected = [neighbours.search(query_D[None], 10)[1][0] for query_D in queries_ND]

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda query_D: neighbours.search(query_D[None], 10)[1][0], queries_ND))

    np.testing.assert_array_equal(expected, found)
    assert not {n * 3 for n in range(0, 3000, 7)} & set(np.concatenate(found).tolist())


def test_passing_without_some():
    """Keys are taken away one by one; the rest stay."""
    passing = KeyFilter.from_mask(np.ones(21, dtype=bool)).exclude(np.array([0, 8, 9, 20]))

    left = np.flatnonzero(np.unpackbits(passing.bits, bitorder="little"))
    assert [n for n in range(21) if n not in (0, 8, 9, 20)] == left.tolist()
    assert 17 == passing.rows
