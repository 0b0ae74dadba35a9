"""BLEU and CIDEr-D have the values that their definitions give by hand, and Wilson's interval its own."""

import math

import pytest

from pipelines.metrics.captions import compute_bleu, compute_cider, split_words
from pipelines.metrics.intervals import compute_wilson


def test_the_words_of_a_text_are_lower_case_and_without_marks():
    assert split_words("A dog's bark, twice.") == ["a", "dog's", "bark", "twice"]


def test_a_repeated_word_counts_as_often_as_a_reference_has_it():
    """Papineni's example: seven times `the`, of which the reference has two."""
    said, reference = ["the"] * 7, ["the", "cat", "is", "on", "the", "mat"]

    assert compute_bleu([said], [[reference]], n=1) == pytest.approx(2 / 7)


def test_a_caption_shorter_than_its_nearest_reference_is_punished():
    said, references = ["the", "cat"], [["the", "cat", "sat"], ["the", "cat", "sat", "on", "a", "mat"]]

    assert compute_bleu([said], [references], n=2) == pytest.approx(math.exp(1 - 3 / 2))


def test_bleu_is_of_the_whole_corpus_and_nothing_is_smoothed():
    """1-grams 6 of 7, 2-grams 4 of 5 over both captions; no 4-gram is right, so BLEU-4 is 0."""
    said = [["a", "big", "dog", "barks"], ["it", "rains", "now"]]
    references = [[["a", "big", "dog", "barks"]], [["it", "rains", "hard"]]]

    assert compute_bleu(said, references, n=2) == pytest.approx(math.sqrt(6 / 7 * 4 / 5))
    assert compute_bleu([["a", "cat"]], [[["the", "dog"]]]) == 0.0
    assert compute_bleu(references[0], [references[0]]) == pytest.approx(1.0)


def test_a_caption_like_its_reference_has_cider_ten_if_it_is_long_enough():
    """Of two words there are no 3- and 4-grams, so half of the lengths match."""
    long = [[["a", "big", "dog", "barks", "here"]], [["it", "rains", "on", "that", "street"]]]
    short = [[["dog", "barks"]], [["rain", "falls"]]]

    assert compute_cider([own[0] for own in long], long) == pytest.approx([10.0, 10.0])
    assert compute_cider([own[0] for own in short], short) == pytest.approx([5.0, 5.0])


def test_words_that_all_references_have_are_worth_nothing_and_length_counts():
    """`a` has idf 0. `dog` against `dog dog`: clipped to 1, cosine 1 * 2 / (1 * 2) = 1, off by one word."""
    references = [[["a", "dog", "dog"]], [["a", "cat", "cat"]]]
    idf = math.log(2)
    one = (idf * min(1, 2) * 2 * idf) / (idf * 2 * idf)
    # Of 2-grams `a dog` is in both, `dog dog` is in the reference alone: 1 / (1 * sqrt 2).
    two = 1 / math.sqrt(2)
    expected = 10 * math.exp(-1 / 72) * (one + two) / 4

    assert compute_cider([["a", "dog"], ["a", "cat"]], references) == pytest.approx([expected] * 2)


def test_wilsons_interval_is_the_published_one():
    """Wilson 1927, as statsmodels' proportion_confint gives it."""
    assert compute_wilson(0, 10) == pytest.approx((0.0, 0.277533), abs=1e-6)
    assert compute_wilson(5, 10) == pytest.approx((0.236593, 0.763407), abs=1e-6)
    assert compute_wilson(240, 240) == pytest.approx((0.984246, 1.0), abs=1e-6)
