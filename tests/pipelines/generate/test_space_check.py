"""A generator gets vectors of its own CLAP, and of no other."""

import numpy as np
import pytest

from pipelines.encode.encoder import EncoderSpec
from pipelines.encode.loaders.audioldm_clap import AudioLdmClap
from pipelines.encode.loaders.pocket import WEIGHTS
from pipelines.errors import SpaceError
from pipelines.generate.space_check import check_own_space
from tests.pipelines.generate.making_sounds import judge, speaking, tiny_choice


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
