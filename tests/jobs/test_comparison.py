"""The table of translators and towers: it says of how many pairs it is, and when they are not the same."""

from jobs.shared.leaderboard import format_comparison
from schemas.model_card import ModelCard
from schemas.translator_card import RetrievalScores


def tower_of(name: str, cosine: float, pairs: int) -> ModelCard:
    scores = RetrievalScores(
        pairs=pairs, gallery=pairs, cosine=cosine, cosine_interval=(cosine, cosine), r1=0, r1_interval=(0, 0),
        r5=0, r10=0, map10=0, hubness=0, gap=0, effective_rank=1,
    )  # fmt: skip
    return ModelCard.model_construct(name=name, retrieval=scores)


def test_the_highest_cosine_comes_first():
    """With its milliseconds, where they were taken."""
    lines = format_comparison([], [tower_of("low", 0.1, 30), tower_of("high", 0.2, 30)], {"high": 4.5}).split(
        "\n"
    )

    assert "translators and towers, on the same held-out pairs, 30 in a gallery of 30" == lines[0]
    assert ["high", "low"] == [line.split()[-1] for line in lines[2:]]
    assert ["4.50", "-"] == [line.split()[-2] for line in lines[2:]]


def test_other_pairs_are_said():
    """A gallery of thirty is easier than one of two hundred and forty."""
    head = format_comparison([], [tower_of("a", 0.1, 30), tower_of("b", 0.2, 240)], {}).split("\n")[0]

    assert "translators and towers; held out are 30 and 240 pairs, so their scores do not compare" == head
