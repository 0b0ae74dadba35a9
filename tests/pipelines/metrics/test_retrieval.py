"""Scores of translators whose worth is known."""

import numpy as np
import pytest

from pipelines.metrics.retrieval import GALLERY, LabelPrototypes, effective_rank, mean_over_groups, score


def units(rng, count, dims):
    vectors = rng.standard_normal((count, dims)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_the_right_vectors_score_one():
    """Every own target is first, in galleries of a thousand, the last one filled up."""
    wanted = units(np.random.default_rng(0), 2500, 32)
    found = score(wanted, wanted)

    assert (2500, GALLERY) == (found.pairs, found.gallery)
    assert [1.0] * 5 == pytest.approx([found.cosine, found.r1, found.r5, found.r10, found.map10])
    assert found.gap == pytest.approx(0, abs=1e-6)
    assert found.class_r1 is None


def test_random_vectors_find_as_much_as_chance():
    """R@1 is 1 in 1,000 and R@10 ten times that."""
    rng = np.random.default_rng(0)
    found = score(units(rng, 20_000, 32), units(rng, 20_000, 32))

    assert 0.001 == pytest.approx(found.r1, abs=0.001)
    assert 0.01 == pytest.approx(found.r10, abs=0.003)
    assert found.r1_interval[0] <= found.r1 <= found.r1_interval[1]


def test_one_vector_for_all_finds_nothing():
    """It has no rank, and with targets that are all alike the own one is never counted as found."""
    rng = np.random.default_rng(0)
    wanted = units(rng, 500, 16)
    made = np.repeat(wanted[:1], 500, axis=0)

    assert score(made, wanted).effective_rank == pytest.approx(1)
    assert score(wanted, np.repeat(wanted[:1], 500, axis=0)).r1 == 0


def test_classes_are_found_where_rows_are_not():
    """Targets around three centres: the right centre is always nearest, the right row seldom."""
    rng = np.random.default_rng(0)
    centres, labels = units(rng, 3, 64), np.arange(900) % 3
    wanted = centres[labels] + 0.03 * rng.standard_normal((900, 64)).astype(np.float32)
    wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)
    found = score(centres[labels], wanted, classes=LabelPrototypes(labels + 1, np.arange(3) + 1, centres))

    assert 1.0 == found.class_accuracy == found.class_r1
    assert 3 == found.classes
    assert found.r1 < 0.1


def test_targets_without_classes_score_as_chance():
    """Two targets a label, all random: neither the own target nor its group helps to find the label."""
    rng = np.random.default_rng(0)
    wanted, labels = units(rng, 500, 128), np.arange(500) // 2 + 1
    others = units(rng, 250, 128)
    found = score(wanted, wanted, classes=LabelPrototypes(labels, np.arange(250) + 1, others))

    assert found.r1 == 1
    assert found.class_accuracy < 0.03
    assert found.class_r1 < 0.03


def test_pairs_without_labels_have_no_classes():
    """One label in 500 pairs scores that pair alone; none scores none."""
    wanted = units(np.random.default_rng(0), 500, 32)
    labels = np.zeros(500, np.uint64)
    none = score(wanted, wanted, classes=LabelPrototypes(labels, np.arange(1), wanted[:0]))
    labels[7] = 5
    one = score(wanted, wanted, classes=LabelPrototypes(labels, np.array([5, 9], np.uint64), wanted[[9, 7]]))

    assert (None, None, None) == (none.class_r1, none.class_accuracy, none.classes)
    assert (None, 0.0, 2) == (one.class_r1, one.class_accuracy, one.classes)


def captioned(pictures, captions):
    """Five texts about each picture, all near it; every text of a picture has one query."""
    rng = np.random.default_rng(1)
    centres = units(rng, pictures, 48)
    targets = np.repeat(centres, captions, axis=0) + 0.12 * rng.standard_normal(
        (pictures * captions, 48)
    ).astype(np.float32)
    targets /= np.linalg.norm(targets, axis=1, keepdims=True)
    return np.repeat(centres, captions, axis=0), targets, np.repeat(np.arange(pictures), captions)


def test_any_caption_of_a_picture_is_right():
    """A picture has five captions: any of them that is found first is a find."""
    queries, targets, pictures = captioned(64, 5)
    apart, together = score(queries, targets), score(queries, targets, pictures)

    assert apart.r1 < 0.3
    assert together.r1 > 0.9
    assert together.map10 > 0.9
    assert (320, 64) == (together.pairs, together.groups)


def test_average_precision_counts_every_right_target():
    """Right ones at ranks 1 and 3 of two: (1/1 + 2/3) / 2."""
    axes = np.eye(8, dtype=np.float32)
    targets = np.stack([axes[0], axes[0] * 0.8 + axes[1] * 0.6, axes[0] * 0.6 + axes[2] * 0.8])
    queries = np.stack([axes[0], axes[5], axes[0]])
    found = score(queries, targets.astype(np.float32), np.array([0, 1, 0]))

    # The query in the middle is equally far from all: its own target ranks last, at 3.
    assert found.map10 == pytest.approx((2 * (1 + 2 / 3) / 2 + 1 / 3) / 3)


def test_intervals_are_over_pictures():
    """Five captions of one picture are one observation: the interval of the mean is about twice as wide."""
    rng = np.random.default_rng(2)
    centres = units(rng, 64, 48)
    shift = 0.2 * rng.standard_normal((64, 48)).astype(np.float32)
    queries, targets = np.repeat(centres + shift, 5, axis=0), np.repeat(centres, 5, axis=0)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    apart, together = score(queries, targets), score(queries, targets, np.repeat(np.arange(64), 5))

    def width(scores):
        return scores.cosine_interval[1] - scores.cosine_interval[0]

    assert apart.cosine == pytest.approx(together.cosine)
    assert width(together) == pytest.approx(width(apart) * 5**0.5, rel=0.15)


def test_a_group_counts_once():
    """A picture with nine captions weighs as much as one with a single caption."""
    assert 0.5 == mean_over_groups(np.array([1.0] * 9 + [0.0]), np.array([4] * 9 + [2]))


def test_a_hub_is_seen():
    """Where everything lands beside a few targets the skewness is far above that of spread targets."""
    rng = np.random.default_rng(0)
    wanted = units(rng, 1000, 64)
    spread = score(wanted, wanted).hubness
    drawn = wanted + 2 * wanted[:1]
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)

    assert score(drawn, wanted).hubness > spread + 1


def test_effective_rank_counts_directions():
    """Of vectors spread alike over eight directions it is near eight."""
    vectors = np.zeros((4000, 32))
    vectors[:, :8] = np.random.default_rng(0).standard_normal((4000, 8))

    assert 8 == pytest.approx(effective_rank(vectors), rel=0.01)
