"""Scores of translators whose worth is known."""

import numpy as np
import pytest

from pipelines.metrics.retrieval import GALLERY, effective_rank, score


def units(rng, count, dims):
    vectors = rng.standard_normal((count, dims)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_the_right_vectors_score_one():
    """Every own target is first, in galleries of a thousand, the last one filled up."""
    wanted = units(np.random.default_rng(0), 2500, 32)
    found = score(wanted, wanted, np.arange(2500))

    assert (2500, GALLERY) == (found.pairs, found.gallery)
    assert [1.0] * 5 == pytest.approx([found.cosine, found.r1, found.r5, found.r10, found.map10])
    assert found.gap == pytest.approx(0, abs=1e-6)
    assert found.class_r1 is None


def test_random_vectors_find_as_much_as_chance():
    """R@1 is 1 in 1,000 and R@10 ten times that."""
    rng = np.random.default_rng(0)
    found = score(units(rng, 20_000, 32), units(rng, 20_000, 32), np.arange(20_000))

    assert 0.001 == pytest.approx(found.r1, abs=0.001)
    assert 0.01 == pytest.approx(found.r10, abs=0.003)
    assert found.r1_interval[0] <= found.r1 <= found.r1_interval[1]


def test_one_vector_for_all_finds_nothing():
    """It has no rank, and with targets that are all alike the own one is never counted as found."""
    rng = np.random.default_rng(0)
    wanted = units(rng, 500, 16)
    made = np.repeat(wanted[:1], 500, axis=0)

    assert score(made, wanted, np.arange(500)).effective_rank == pytest.approx(1)
    assert score(wanted, np.repeat(wanted[:1], 500, axis=0), np.arange(500)).r1 == 0


def test_classes_are_found_where_rows_are_not():
    """Targets around three centres: the right centre is always nearest, the right row seldom."""
    rng = np.random.default_rng(0)
    centres, labels = units(rng, 3, 64), np.arange(900) % 3
    wanted = centres[labels] + 0.03 * rng.standard_normal((900, 64)).astype(np.float32)
    wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)
    found = score(centres[labels], wanted, labels)

    assert 1.0 == found.class_accuracy == found.class_r1
    assert found.r1 < 0.1


def test_a_hub_is_seen():
    """Where everything lands beside a few targets the skewness is far above that of spread targets."""
    rng = np.random.default_rng(0)
    wanted = units(rng, 1000, 64)
    spread = score(wanted, wanted, np.arange(1000)).hubness
    drawn = wanted + 2 * wanted[:1]
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)

    assert score(drawn, wanted, np.arange(1000)).hubness > spread + 1


def test_effective_rank_counts_directions():
    """Of vectors spread alike over eight directions it is near eight."""
    vectors = np.zeros((4000, 32))
    vectors[:, :8] = np.random.default_rng(0).standard_normal((4000, 8))

    assert 8 == pytest.approx(effective_rank(vectors), rel=0.01)
