"""The words of a list that are nearest to a picture or a sound: zero-shot, by the encoders of a dataset.

Shapes: W words, D dimensions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipelines.encode.encoder import find_modalities
from pipelines.errors import ConfigError, EcholensError
from pipelines.lookup.encoders import QueryEncoders
from schemas.families import Column, get_family, make_column

# Texts of a batch.
_WORDS = 256


@dataclass(frozen=True)
class Keyword:
    """A word of a list.

    Attributes:
        word: as the list has it.
        score: its cosine to the picture or sound.
    """

    word: str
    score: float


def rank_words(unit_D: np.ndarray, words_WD: np.ndarray, words: Sequence[str], count: int) -> list[Keyword]:
    """Return the words whose vectors are nearest to a vector, the nearest first; of equals the first listed.

    Args:
        unit_D: of a picture or a sound.
        words_WD: unit vectors of the words.
        words: of a list.
        count: of words that are returned, at most.
    """
    cosines_W = words_WD.astype(np.float64) @ unit_D.astype(np.float64)
    # Six digits: a batch of another size changes the seventh, and would swap words that are alike.
    scores_W = np.round(cosines_W, 6)
    order = np.argsort(-scores_W, kind="stable")[:count]
    return [Keyword(words[place], float(scores_W[place])) for place in order.tolist()]


def find_keywords(
    encoders: QueryEncoders, column: Column, item: bytes, words: Sequence[str], count: int
) -> list[Keyword]:
    """Return the words of a list that are nearest to a picture or a sound.

    Args:
        encoders: of the dataset.
        column: of the picture or sound.
        item: its file.
        words: of the list.
        count: of words that are returned, at most.

    Raises:
        ConfigError: the column's encoder embeds no texts, or the file cannot be read.
    """
    family = get_family(column)
    spec = encoders.get_spec(column)
    if "text" not in find_modalities(family, spec.loader):
        raise ConfigError(
            f"{column} has no words: its encoder embeds no texts; name a column of a family that "
            "does with --in"
        )
    (unit,) = _encode(encoders, column, [item])
    found = [
        vector
        for start in range(0, len(words), _WORDS)
        for vector in _encode(encoders, make_column(family, "text"), words[start : start + _WORDS])
    ]
    return rank_words(unit, np.stack(found), words, count)


def _encode(encoders: QueryEncoders, column: Column, items: Sequence[str | bytes]) -> list[np.ndarray]:
    found = []
    for each in encoders.encode(column, items):
        if isinstance(each, EcholensError):
            raise each
        found.append(each.unit_D)
    return found
