"""Scores of captions against references: BLEU and CIDEr-D, as pure functions of lists of words.

BLEU as Papineni et al. (2002) define it over a whole corpus, with the brevity penalty of the closest
reference. CIDEr-D as Vedantam et al. (2015) define it: tf-idf vectors of n-grams of 1 to 4 words, clipped,
with a Gaussian penalty on differences in length, times 10; document frequencies are those of the references.
SPICE, which needs a parser, is not here.

A caption is a list of words; `split_words` gives those of a text.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

_N = 4
_SIGMA = 6.0
_SCALE = 10.0

Words = Sequence[str]
Grams = Counter[tuple[str, ...]]


def split_words(text: str) -> list[str]:
    """Return the words of a text in lower case, without marks."""
    return re.findall(r"[^\W_]+(?:'[^\W_]+)?", text.lower())


def compute_bleu(captions: Sequence[Words], references: Sequence[Sequence[Words]], n: int = _N) -> float:
    """Return BLEU of a corpus, from 0 to 1: the geometric mean of n-gram precisions, unsmoothed.

    Args:
        captions: to score.
        references: of each caption, one at least.
        n: the longest n-grams.
    """
    matched, total = [0] * n, [0] * n
    length = reference_length = 0
    for words, own in zip(captions, references, strict=True):
        length += len(words)
        # Of two references that are equally near in length the shorter one counts.
        reference_length += min((abs(len(each) - len(words)), len(each)) for each in own)[1]
        for size in range(1, n + 1):
            found = _count_grams(words, size)
            most: Grams = Counter()
            for each in own:
                most |= _count_grams(each, size)
            matched[size - 1] += (found & most).total()
            total[size - 1] += found.total()
    if not all(matched):
        return 0.0
    mean = sum(math.log(right / every) for right, every in zip(matched, total, strict=True)) / n
    return math.exp(mean + min(0.0, 1 - reference_length / length))


def compute_cider(captions: Sequence[Words], references: Sequence[Sequence[Words]]) -> list[float]:
    """Return CIDEr-D of each caption, from 0 to 10; a corpus has their mean.

    Args:
        captions: to score.
        references: of each caption, one at least.
    """
    documents: Grams = Counter()
    for own in references:
        documents.update({gram for words in own for gram in _count_all(words)})
    corpus = math.log(max(len(references), 1))
    scores = []
    for words, own in zip(captions, references, strict=True):
        vectors = _weigh(words, documents, corpus)
        each = [_compare(vectors, _weigh(other, documents, corpus), len(words) - len(other)) for other in own]
        scores.append(_SCALE * sum(each) / len(own))
    return scores


def _count_grams(words: Words, size: int) -> Grams:
    return Counter(tuple(words[start : start + size]) for start in range(len(words) - size + 1))


def _count_all(words: Words) -> Grams:
    return Counter(
        {gram: count for size in range(1, _N + 1) for gram, count in _count_grams(words, size).items()}
    )


def _weigh(words: Words, documents: Grams, corpus: float) -> list[dict[tuple[str, ...], float]]:
    """Return, for each length of n-grams, their counts times their inverse document frequency."""
    return [
        {
            gram: count * (corpus - math.log(max(documents[gram], 1)))
            for gram, count in _count_grams(words, size).items()
        }
        for size in range(1, _N + 1)
    ]


def _compare(
    own: list[dict[tuple[str, ...], float]], other: list[dict[tuple[str, ...], float]], delta: int
) -> float:
    """Return the mean clipped cosine of all lengths of n-grams, lowered where lengths of captions differ."""
    total = 0.0
    for mine, theirs in zip(own, other, strict=True):
        # Clipped: words that are said again and again earn no more than the reference has.
        dot = sum(min(value, theirs[gram]) * theirs[gram] for gram, value in mine.items() if gram in theirs)
        norms = math.hypot(*mine.values()) * math.hypot(*theirs.values())
        total += dot / norms if norms else 0.0
    return math.exp(-(delta**2) / (2 * _SIGMA**2)) * total / _N
