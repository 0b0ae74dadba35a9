import pytest

from schemas.index_card import IndexCard
from schemas.space import Space

SPACE = Space(
    encoder="test",
    weights_sha256="0" * 64,
    library="none 0",
    preprocessing="none",
    precision="fp32",
    batch_rows=1,
    dims=4,
)


@pytest.fixture
def card():
    """Of an index that text searches worse than pictures do."""
    return IndexCard(
        column="clip_image",
        space=SPACE,
        factory="IVF256,SQfp16",
        rows=1,
        bytes=1,
        build_s=1,
        recall_at={"clip_image": {1: 1.0, 10: 0.99}, "clip_text": {1: 0.5, 10: 0.9}},
        recall_queries={"clip_image": 10, "clip_text": 10},
        recall_wanted=0.95,
        nprobe=16,
        sha256="0" * 64,
    )


def test_recall_is_that_of_the_worst_queries(card):
    """And what is missing is one sentence with the setting and the remedy."""
    assert (0.9, True) == (card.recall, card.falls_short)
    assert (
        "the index of clip_image finds 0.900 of the ten nearest at its best setting (IVF256,SQfp16, "
        "16 lists a query) and 0.95 was wanted; give index.memory more"
    ) == card.describe_shortfall()


def test_a_recall_that_suffices_is_not_mentioned(card):
    """The limit itself suffices."""
    enough = card.model_copy(update={"recall_wanted": 0.9})

    assert (False, "") == (enough.falls_short, enough.describe_shortfall())
