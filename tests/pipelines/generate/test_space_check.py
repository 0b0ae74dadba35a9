"""A generator gets vectors of its own CLAP, and of no other."""

import numpy as np
import pytest

from pipelines.encode.encoder import EncoderSpec
from pipelines.encode.loaders.audioldm_clap import AudioLdmClap
from pipelines.encode.loaders.pocket import WEIGHTS, make_pocket_clap
from pipelines.errors import SpaceError
from pipelines.generate.space_check import check_media_tower, check_own_space
from tests.pipelines.generate.making_sounds import judge, speaking, tiny_choice
from tests.pipelines.harmed_towers import HARMS, HarmedClap


def test_its_own_clap_is_let_through(tiny):
    """The tiny generator speaks pocket CLAP: a hundred captions give the same vectors."""
    assert 0.9999 < check_own_space(tiny_choice(tiny), "clap_audio", judge(), judge().space, "it")


def test_the_same_text_tower_needs_no_captions(tiny):
    """An encoder that was taken out of the generator itself is known by its fingerprint."""
    loader = AudioLdmClap(str(tiny), None, str(WEIGHTS / "clap"), "fp32", 8)
    spec = EncoderSpec(loader.space(), loader)

    assert 1.0 == check_own_space(tiny_choice(tiny), "clap_audio", spec, spec.space, "it")


@pytest.mark.parametrize(
    ("speak", "said"),
    [
        (lambda texts: np.eye(len(texts), 512, dtype=np.float32), r"100 captions is -?0\.\d+, not 0\.99"),
        (lambda texts: np.ones((len(texts), 16), np.float32), "takes vectors of 16 numbers, not of 512"),
        (lambda texts: np.full((len(texts), 512), np.nan, np.float32), "100 captions is nan"),
    ],
    ids=["another-net", "another-length", "nan"],
)
def test_another_clap_is_refused(speak, said):
    """And the sentence says what to build and to train."""
    with pytest.raises(SpaceError, match=said) as refused:
        check_own_space(speaking(speak), "clap_audio", judge(), judge().space, "translator 'toy'")
    assert "translator 'toy' leads to transformers:pocket" in str(refused.value)
    assert "loader: audioldm, weights: other" in str(refused.value)
    assert "train a translator to its clap_audio" in str(refused.value)


def test_a_translator_to_another_space_is_refused(tiny):
    """Its target is not what the dataset's set has: nothing could be compared."""
    other = judge().space.model_copy(update={"weights_sha256": "f" * 64})
    with pytest.raises(SpaceError, match="train a translator to the clap column of this set"):
        check_own_space(tiny_choice(tiny), "clap_audio", judge(), other, "translator 'toy'")


@pytest.mark.parametrize("how", HARMS)
def test_another_audio_tower_is_refused(tiny, how):
    """Texts agree to 1.000, and sounds do not go with them; what was found and what to do is said."""
    loader = HarmedClap(make_pocket_clap("fp32"), how)
    spec = EncoderSpec(loader.space(), loader)
    generator = tiny_choice(tiny)

    assert 0.9999 < check_own_space(generator, "clap_audio", spec, spec.space, "it")
    with pytest.raises(SpaceError, match="whose sounds do not go with their texts") as refused:
        check_media_tower(generator, "clap_audio", spec, None, "clap_audio of ROOT")
    assert "matched and" in str(refused.value)
    assert "24 pairs" in str(refused.value)


def test_its_own_audio_tower_is_let_through(tiny):
    """And nothing is asked of vectors of texts, or of a generator that brings no text tower to compare."""
    generator = tiny_choice(tiny)
    check_media_tower(generator, "clap_audio", judge(), None, "it")
    loader = HarmedClap(make_pocket_clap("fp32"), "rotated")
    spec = EncoderSpec(loader.space(), loader)
    check_media_tower(generator, "clap_text", spec, None, "it")
    mute = generator.info.model_copy(update={"text_sha256": None})
    check_media_tower(type(generator)(generator.spec, mute), "clap_audio", spec, None, "it")
