import pytest

from jobs.shared.compare_translators import compare_translators, make_name
from pipelines.errors import EcholensError
from pipelines.translate.translator import read_card
from tests.by_hand import ByHand


def test_sounds_are_named_after_a_translator_and_its_weights(saved):
    """A NAME is lower-case and without dots; other weights give another."""
    card = read_card(saved[0], "toy").model_copy(update={"name": "wit.CC-mlp"})
    other = card.model_copy(update={"weights_sha256": "f" * 64})

    assert f"wit_cc-mlp-{card.weights_sha256[:8]}" == make_name(card)
    assert make_name(other) != make_name(card)


def test_translators_between_other_columns_are_refused(saved, tmp_path):
    """Only one from pictures to sounds can make a picture sound."""
    card = read_card(saved[0], "toy").model_copy(update={"source": "clip_text"})
    world = ByHand(tmp_path / "world")
    world.lists({})

    with pytest.raises(
        EcholensError, match="none of these translators leads from clip_image to a clap column"
    ):
        compare_translators(world.dataset(), [card], ["nowhere.jpg"])
