"""Tallies of a judge over files in pieces: classes, captions, pairs, and what cannot be decoded."""

import numpy as np
import pytest

from pipelines.errors import ConfigError
from pipelines.evaluate.judges.custom import CustomJudge
from pipelines.evaluate.sets import compare_sets
from pipelines.evaluate.tally import JudgedRow, JudgeTally, compare_tallies


class Bytes(CustomJudge):
    """Embeds a file as its first two bytes, and takes the larger for its class; an empty file is none."""

    medium, rate_hz = "sound", 16_000
    classes = ("first", "second")

    def embed(self, files):
        return np.array([[*file[:2]] if file else [np.nan] * 2 for file in files], np.float32)

    def embed_texts(self, texts):
        return np.array([[1.0, 0.0]] * len(texts), np.float32)

    def classify(self, files, classes):
        known = not classes or set(classes) <= set(self.classes)
        return (
            self.embed(files)[:, [self.classes.index(name) for name in classes or self.classes]]
            if known
            else None
        )


def tally(files, classes=("first", "second")):
    made = JudgeTally(Bytes(), Bytes(), classes)
    for start in range(0, len(files), 3):
        made.look(files[start : start + 3])
    return made


FILES = [bytes(pair) for pair in ((9, 1), (1, 9), (8, 2))] + [b""] + [bytes((2, 3))]


def test_classes_of_files_in_pieces():
    """What cannot be decoded is left out; a judge that does not know a class knows none."""
    made = tally(FILES)

    assert [0, 1, 2, 4] == made.find_usable()
    assert ["first", "second", "first", "second"] == [made.name_classes()[row] for row in made.find_usable()]
    assert ["second"] == tally(FILES[:1], ("second",)).name_classes()
    assert tally(FILES, ("third",)).name_classes() is None
    assert tally(FILES, ("third",)).join_logits() is not None  # its own, for KL and IS
    assert [] == tally([]).find_usable()


def test_the_cosine_to_captions():
    """Of files that have one and can be decoded."""
    found = tally(FILES).score_texts(["a", "", "", "b", ""])

    assert 9 / np.hypot(9, 1) == pytest.approx(found)
    assert tally(FILES).score_texts([""] * 5) is None


def test_pairs_are_of_one_row():
    """Generated and real media of one key, whatever their order; those that cannot be decoded are none."""
    rows = [JudgedRow(key, "", None) for key in ("a", "b", "c", "d", "")]
    real = tally([FILES[1], FILES[0], b""])
    found = compare_tallies(tally(FILES), real, rows, ["b", "a", "c"])

    assert (4, 2, 2) == (found.made, found.real, found.pairs)
    assert 0 == pytest.approx(found.kl_softmax, abs=1e-9)
    assert compare_tallies(tally(FILES), tally([FILES[0], b""]), rows, ["a", "c"]) is None


def draw(count, seed, shift=0.0):
    return np.random.default_rng(seed).standard_normal((count, 6)).astype(np.float32) + np.float32(shift)


def test_the_same_set_scores_best():
    """Distances and divergences of a set from itself are nought, and another law's are above the floor."""
    real, other = draw(120, 0), draw(120, 1, shift=2)
    pairs = [(row, row) for row in range(120)]
    same = compare_sets(real, real, logits=(real, real), pairs=pairs, medium="sound")
    far = compare_sets(other, real, logits=(other, real), pairs=pairs, medium="picture")

    assert (0, 0) == (
        pytest.approx(same.frechet.distance, abs=1e-9),
        pytest.approx(same.kl_softmax, abs=1e-9),
    )
    assert same.coverage == 1
    assert far.frechet.interval[0] > far.frechet.floor[1]
    assert far.kernel > 0.1
    assert far.kl_softmax > same.kl_softmax
    assert (2, True) == (far.splits, 1 < far.inception_score < 6)
    assert not far.frechet.too_few


def test_few_samples_are_said():
    """Below ten a dimension; a judge without classes gives no KL and no IS; one sample is no set."""
    found = compare_sets(draw(20, 0), draw(4, 1), logits=None, pairs=[], medium="sound")

    assert found.frechet.too_few
    assert (None, None, None) == (found.kl_softmax, found.inception_score, found.density)
    with pytest.raises(ConfigError, match="1 generated and 4 real samples have no spread"):
        compare_sets(draw(1, 0), draw(4, 1), logits=None, pairs=[], medium="sound")
