"""Scores of vectors whose worth is known, and what survives a crossing."""

import numpy as np
import pytest

from pipelines.evaluate.bench import pick_nearest
from pipelines.evaluate.evaluation_set import SetRows
from pipelines.evaluate.vector_scores import score_pairs, score_transfer

KINDS = np.array(["bell", "dog", "rain"])


class Toy:
    """Vectors whose first three coordinates say the kind, and nothing the colour."""

    def __init__(self):
        rng = np.random.default_rng(0)
        self.truth = {
            part: {"kind": KINDS[rng.integers(3, size=300)], "colour": KINDS[rng.integers(3, size=300)]}
            for part in ("scored", "gallery")
        }
        self.vectors = {}
        for part, truth in self.truth.items():
            drawn = 0.3 * rng.standard_normal((300, 8))
            drawn[:, :3] += truth["kind"][:, None] == KINDS
            self.vectors[part] = (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)

    def get_rows(self, part):
        return SetRows([], np.arange(300), [], truth=self.truth[part])

    def get_vectors(self, part, column):
        return self.vectors[part]


def test_true_vectors_find_themselves_and_others_their_chance():
    """Among 300; every item of a row's group counts."""
    vectors = Toy().vectors["scored"]
    same = score_pairs(vectors, vectors, np.arange(300))
    shuffled = score_pairs(np.roll(vectors, 1, axis=0), vectors, np.arange(300))
    grouped = score_pairs(np.roll(vectors, 1, axis=0), vectors, np.arange(300) // 300)

    assert {"pair_cosine", "r1", "r5", "r10", "map10"} == same.keys()
    assert all(values.mean() == pytest.approx(1) for values in same.values())
    assert shuffled["r10"].mean() < 0.2
    assert 1 == grouped["r1"].mean()


def test_an_attribute_that_crosses_is_read_and_another_is_chance():
    """The kind of a way that keeps it, not of one that loses it; the colour of none."""
    toy = Toy()
    ways = {"kept": toy.vectors["scored"], "lost": np.roll(toy.vectors["scored"], 7, axis=0)}
    shares = {
        name: {way: values.mean() for way, values in found.items()}
        for name, found in score_transfer(ways, toy, "any").items()
    }

    assert shares["kind"]["kept"] > 0.85
    assert abs(shares["kind"]["lost"] - 1 / 3) < 0.1
    assert all(abs(value - 1 / 3) < 0.1 for value in shares["colour"].values())


class Gallery:
    """Four rows to look things up in, and the groups of two that do."""

    def __init__(self, scored, gallery):
        self.groups = {"scored": np.array(scored), "gallery": np.array(gallery)}

    def get_rows(self, part):
        return SetRows([], self.groups[part], [])

    def get_vectors(self, part, column):
        return np.array([[np.nan, np.nan], [0, 1], [1, 0], [1, 0]], np.float32)


@pytest.mark.parametrize(
    ("gallery", "picked"), [([2, 3, 4, 5], [2, 1]), ([2, 3, 0, 5], [3, 1]), ([2, 1, 0, 0], [1, 2])]
)
def test_neither_a_row_without_a_vector_nor_one_of_the_own_group_is_the_nearest(gallery, picked):
    """Of equals the first is taken. Where trained rows are scored, too, none of them finds itself."""
    units = np.array([[1, 0], [0, 1]], np.float32)

    assert picked == pick_nearest(units, Gallery([0, 1], gallery), "clip_image").tolist()


def test_rows_without_a_true_item_have_no_score_and_harm_no_other():
    """Half of the items are missing: the others are found among those that are there."""
    vectors = Toy().vectors["scored"]
    holes = np.where(np.arange(300)[:, None] % 2, vectors, np.nan)
    found = score_pairs(vectors, holes, np.arange(300))

    for values in found.values():
        assert np.isnan(values[::2]).all()
        assert values[1::2] == pytest.approx(np.ones(150))
