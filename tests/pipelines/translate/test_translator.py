"""A translator on disk is the one that was trained, or it says why not."""

import hashlib

import numpy as np
import pytest
import torch

from pipelines.errors import ConfigError, SpaceError, StorageError
from pipelines.models.registry import build_net
from pipelines.translate.translator import Translator, list_names, pack_weights
from schemas.translator_card import TranslatorCard
from tests.fixtures.translators import CELL
from tests.pipelines.train.spaces import space
from tests.saving import save_translator


def test_it_translates_as_the_net_did(saved):
    """Unit vectors of the target's dimensions, whatever the length of the source's."""
    root, net = saved
    vectors = np.random.default_rng(0).standard_normal((9, 16)).astype(np.float32)
    with torch.inference_mode():
        expected = net.translate(torch.from_numpy(vectors))[0].numpy()

    assert ["toy"] == list_names(root)
    np.testing.assert_array_equal(
        expected, Translator.open(root, "toy").translate(vectors, space("clip", 16))
    )


def test_vectors_of_another_space_are_refused(saved):
    """Both spaces are named."""
    translator = Translator.open(saved[0], "toy")

    with pytest.raises(SpaceError, match=r"takes vectors of clip@.* and these are in othr@"):
        translator.translate(np.ones((1, 16), np.float32), space("othr", 16))


def test_an_unknown_name_lists_the_known(saved):
    """One sentence."""
    with pytest.raises(ConfigError, match="no translator 'toys'; it has: toy"):
        Translator.open(saved[0], "toys")


def test_damaged_weights_are_not_used(saved):
    """A flipped byte is not the translator of the card."""
    root, _ = saved
    data = bytearray(root.read("translators/toy/weights.safetensors"))
    data[-1] ^= 1
    root.write("translators/toy/weights.safetensors", bytes(data))

    with pytest.raises(StorageError, match="not those of its card; train it again"):
        Translator.open(root, "toy")


def test_weights_of_another_net_are_not_used(saved):
    """A checkpoint of another width under the card's name."""
    root, _ = saved
    other = pack_weights(build_net(CELL.model_copy(update={"hidden": 9}), (16, 12)))
    card = TranslatorCard.model_validate_json(root.read("translators/toy/card.json"))
    save_translator(
        root, card.model_copy(update={"weights_sha256": hashlib.sha256(other).hexdigest()}), other
    )

    with pytest.raises(StorageError, match=r"cannot be used \(.*\); train it again"):
        Translator.open(root, "toy")
