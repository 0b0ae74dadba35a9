"""The translator that is taken where none is named, and the names of those that ship."""

import numpy as np
import pytest

from pipelines.errors import ConfigError
from pipelines.store.root import Root
from pipelines.translate import defaults
from pipelines.translate.defaults import (
    choose_defaults,
    find_default,
    rank_cards,
    read_defaults,
    resolve_alias,
    write_defaults,
)
from pipelines.translate.shipped import NAMES, find_shipped, fit_card, get_shipped_root, list_shipped
from pipelines.translate.translator import Translator, read_card
from schemas.translator_card import ValidationScore
from tests.fixtures.translators import CELL
from tests.saving import save_translator

DIRECTION = "clip_image -> clap_text"


def make_card(base, name, cosine, **changes):
    """Return a card of another name, with its cosine on the validation pairs of the direction."""
    validation = {DIRECTION: ValidationScore(pairs=10, groups=5, cosine=cosine)}
    changed = {"name": name, "validation": validation, "cell": CELL, **changes}
    return base.model_copy(update=changed)


@pytest.fixture
def card(saved):
    return read_card(saved[0], "toy")


def test_the_best_on_validation_is_the_default(card):
    """Closed forms stand beside nets, the test scores have no say, and controls are left out."""
    cards = [
        make_card(card, "net", 0.81),
        make_card(card, "ridge", 0.88, method="ridge", cell=None),
        make_card(card, "mean", 0.95, method="mean", cell=None),
    ]

    assert {DIRECTION: "ridge"} == choose_defaults(cards)
    assert ["ridge", "net"] == [each.name for each in rank_cards(cards)]


def test_of_equals_the_cheaper_is_the_default(card):
    """Digits beyond the fourth are no difference; then the fewest weights are taken."""
    cards = [
        make_card(card, "large", 0.87004, parameters=900),
        make_card(card, "small", 0.87001, parameters=100),
    ]

    assert {DIRECTION: "small"} == choose_defaults(cards)


def test_each_direction_has_its_own(card):
    """A mix is judged by each kind of its pairs alone: it may win one direction and lose the other."""
    words = {"clip_text -> clap_text": ValidationScore(pairs=3, groups=3, cosine=0.9)}
    mix = make_card(card, "mix", 0.6)
    mix = mix.model_copy(update={"validation": mix.validation | words})

    assert {DIRECTION: "alone", "clip_text -> clap_text": "mix"} == choose_defaults(
        [mix, make_card(card, "alone", 0.7)]
    )


def test_the_choice_is_written_beside_the_translators(saved, card):
    """What is written is what is taken, as long as it is there; without it, the choice is made anew."""
    root, _ = saved
    weights = root.read("translators/toy/weights.safetensors")
    save_translator(root, make_card(card, "better", 0.9), weights)
    spaces = {card.source: card.source_space, card.target: card.target_space}

    def find():
        return find_default(root, spaces, ["clip_text", "clip_image"], ["clap_audio", "clap_text"])

    assert "better" == find().name
    assert {DIRECTION: "better"} == write_defaults(root)
    root.write_json(defaults.FILE, {"by_direction": {DIRECTION: "toy"}})
    assert "toy" == find().name == resolve_alias(root, spaces, "default", (["clip_image"], ["clap_text"]))
    assert "better" == read_defaults(root, [make_card(card, "better", 0.9)])[DIRECTION]
    assert find_default(root, {}, ["clip_image"], ["clap_text"]) is None
    assert find_default(root, spaces, ["clap_text"], ["clip_image"]) is None


@pytest.fixture(scope="module")
def shipped():
    root = get_shipped_root()
    return {name: read_card(root, name) for name in NAMES}


def spaces_of(card):
    return {card.source: card.source_space, card.target: card.target_space}


def test_a_translator_ships_each_way(shipped):
    """Both are small, no control, and come nearer to validation pairs than what ignores them."""
    ends = [(card.source, card.target) for card in shipped.values()]

    assert [("clip_image", "clap_audio"), ("clap_audio", "clip_image")] == ends
    for card in shipped.values():
        assert card.method not in defaults.CONTROLS
        # They are stored as fp16.
        assert card.parameters * 2 < 1_200_000
        assert card.scores.cosine > 0.7
        assert card.data[0].source == card.source


def test_a_shipped_translator_is_a_name_of_every_pocket_root(shipped, tmp_path):
    """With the root's own spaces, in whatever precision; `pocket` is the one that leads there."""
    card = shipped["picture_to_sound"]
    other = {
        column: space.model_copy(update={"precision": "bf16", "batch_rows": 8})
        for column, space in spaces_of(card).items()
    }
    foreign = other | {"clip_image": other["clip_image"].model_copy(update={"weights_sha256": "0" * 64})}
    root = Root.from_url(str(tmp_path))
    root.write_json(
        "dataset.json",
        {"sets": {"main": {column: space.model_dump() for column, space in other.items()}}},
    )
    translator = Translator.open(root, "picture_to_sound")
    source_NI = np.eye(2, card.source_space.dims, dtype=np.float32)

    assert other["clip_image"] == translator.card.source_space
    assert 1 == pytest.approx(
        np.linalg.norm(translator.translate(source_NI, other["clip_image"])[0]), abs=1e-4
    )
    assert fit_card(card, foreign) is None
    assert list(NAMES) == [each.name for each in list_shipped(other)]
    ends = (["clip_image"], ["clap_text", "clap_audio"])
    assert "picture_to_sound" == resolve_alias(root, other, "pocket", ends)
    assert find_default(root, other, *ends) is None
    assert find_shipped(root, "toy") is None
    with pytest.raises(ConfigError, match="has no translator 'sound_to_picture'"):
        Translator.open(Root.from_url(str(tmp_path / "none")), "sound_to_picture")
