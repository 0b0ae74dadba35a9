"""Words of a list that are nearest to a picture or a sound: in order, with their scores, always the same."""

import numpy as np
import pytest

from pipelines.errors import ConfigError
from pipelines.lookup.keywords import Keyword, rank_words
from pipelines.lookup.word_lists import list_word_lists, read_words

WORDS = ("bell", "dog", "drum", "toll")


def test_the_nearest_word_comes_first_and_of_equals_the_first_listed():
    """`bell` and `toll` have one vector, but for a last digit that another batch would give."""
    vectors = np.eye(3, dtype=np.float32)[[0, 1, 2, 0]]
    vectors[3, 0] += np.float32(1e-7)
    found = rank_words(np.array([0.8, 0.0, 0.6], np.float32), vectors, WORDS, 3)

    assert found == [Keyword("bell", 0.8), Keyword("toll", 0.8), Keyword("drum", 0.6)]
    assert len(rank_words(vectors[0], vectors, WORDS, 99)) == 4


def test_the_lists_that_ship_have_words_and_say_where_they_are_from():
    assert list_word_lists() == ["animals", "colours", "genres", "instruments", "places"]
    for name in list_word_lists():
        words = read_words(name)
        assert len(words) == len({word.lower() for word in words}) >= 20
        assert not any(word.startswith("#") for word in words)


def test_a_list_of_ones_own_has_a_word_a_line(tmp_path):
    """Comments, empty lines, spaces and what was said already are left out; a BOM is no letter."""
    file = tmp_path / "mine.txt"
    file.write_bytes("\ufeff# mine\n\n church   bell \ndog\r\ndog\n\u043f\u0435\u0440\u043e\n".encode())

    assert read_words(str(file)) == ["church bell", "dog", "\u043f\u0435\u0440\u043e"]


def test_lists_without_words_are_refused_in_a_sentence(tmp_path):
    empty, binary, long, many = (tmp_path / name for name in ("empty", "binary", "long", "many"))
    empty.write_text("# nothing\n\n")
    binary.write_bytes(b"\xff\xfe\x00")
    long.write_text("word " * 100)
    many.write_text("\n".join(map(str, range(20_001))))
    for name, expected in (
        (empty, "has no word; write one a line"),
        (binary, "cannot be read as UTF-8"),
        (long, "has a line of 499 characters"),
        (many, "has more than 20,000 words"),
        ("music", "one of animals, colours, genres, instruments, places"),
    ):
        with pytest.raises(ConfigError, match=expected):
            read_words(str(name))
