import numpy as np
import pytest

from pipelines.encode.loaders.laion_clap import LaionClap
from pipelines.errors import ConfigError

PATCHES = "audio_branch.patch_embed.proj.weight"


@pytest.fixture
def checkpoint(tmp_path):
    """Save a checkpoint with the tensors that a space is read from, and others."""
    import torch

    def make(channels=96, **others):
        state = {
            PATCHES: torch.zeros(channels, 1, 4, 4),
            "text_branch.embeddings.word_embeddings.weight": torch.zeros(300, 8),
            "text_branch.embeddings.position_embeddings.weight": torch.zeros(514, 8),
            "text_projection.2.weight": torch.zeros(512, 512),
        } | others
        state = {f"module.{name}": tensor for name, tensor in state.items()}
        torch.save({"epoch": 9, "state_dict": state, "best": np.float64(0.9)}, tmp_path / "630k.pt")
        return str(tmp_path / "630k.pt")

    return make


def test_space_names_what_decides_a_vector(checkpoint, roberta):
    """Neither a path nor the name of a tokenizer's folder is in it, but what the tokenizer does."""
    space = LaionClap(checkpoint(), None, str(roberta), "fp32", 2).space()

    assert "laion_clap:630k.pt" == space.encoder
    assert 512 == space.dims
    assert "windows of 480000 samples (repeatpad), 64 mels 50-14000 Hz" in space.preprocessing
    assert "text: 77 tokens of " in space.preprocessing
    assert str(roberta) not in space.model_dump_json()


def test_fusion_is_refused(checkpoint, roberta):
    """A net with fusion draws its crops at random; the checkpoint without it is named."""
    import torch

    fused = checkpoint(**{"audio_branch.patch_embed.mel_conv2d.weight": torch.zeros(1)})

    with pytest.raises(ConfigError, match=r"with fusion.*random.*630k-audioset-best\.pt"):
        LaionClap(fused, None, str(roberta), "fp32", 2).space()


def test_a_missing_tokenizer_is_said(checkpoint):
    """roberta-base is on a hub that may not answer: a folder will do, and the sentence says so."""
    with pytest.raises(ConfigError, match=r"encode\.clap\.tokenizer: roberta-base .*tokenizer\.json.*folder"):
        LaionClap(checkpoint(), None, "roberta-base", "fp32", 2).space()


def test_a_tokenizer_of_more_words_than_the_net(checkpoint, roberta):
    """A text would name a word that the net does not have."""
    import torch

    few = checkpoint(**{"text_branch.embeddings.word_embeddings.weight": torch.zeros(200, 8)})

    with pytest.raises(ConfigError, match="knows 261 tokens and the net 200"):
        LaionClap(few, None, str(roberta), "fp32", 2).space()


class Code:
    """What a checkpoint must never get to run."""

    def __reduce__(self):
        return (pytest.fail, ("unpickled",))


def test_nothing_of_a_checkpoint_is_executed(checkpoint, roberta):
    """Weights are read without unpickling code: a checkpoint that brings some is refused."""
    with pytest.raises(ConfigError, match=r"630k.pt cannot be loaded \(UnpicklingError"):
        LaionClap(checkpoint(code=Code()), None, str(roberta), "fp32", 2).space()


@pytest.mark.parametrize(
    ("weights", "revision", "said"),
    [
        pytest.param("./nowhere.pt", None, "no file ./nowhere.pt.*pocket", id="no-file"),
        pytest.param("lukewys/laion_clap/630k-best.pt", "main", "'main' may move", id="branch"),
        pytest.param("lukewys/laion_clap/630k-best.pt", None, "not be fetched.*pocket", id="no-network"),
    ],
)
def test_weights_that_cannot_be_had(roberta, weights, revision, said):
    """One sentence that says what was looked for and what to do."""
    with pytest.raises(ConfigError, match=said):
        LaionClap(weights, revision, str(roberta), "fp32", 2).space()


@pytest.mark.parametrize(
    ("channels", "others", "said"),
    [
        pytest.param(64, {}, "64 channels, which is none of HTSAT-tiny, HTSAT-base", id="another-net"),
        pytest.param(96, {PATCHES: 3}, "holds no HTSAT and RoBERTa", id="no-net"),
    ],
)
def test_other_checkpoints(checkpoint, roberta, channels, others, said):
    """A file of other weights is named as what it is."""
    with pytest.raises(ConfigError, match=said):
        LaionClap(checkpoint(channels, **others), None, str(roberta), "fp32", 2).space()
