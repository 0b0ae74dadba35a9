import shutil

import pytest

from pipelines.encode.loaders.tokenizer import TextTokenizer
from pipelines.encode.loaders.transformers_clap import TransformersClap
from pipelines.encode.loaders.transformers_clip import TransformersClip
from pipelines.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "width"),
    [
        pytest.param("", 16, id="empty"),
        pytest.param("a dog barks at night", 32, id="a-caption"),
        pytest.param("dog " * 1250, 38, id="5,000-characters"),
    ],
)
def test_texts_have_few_shapes(tiny_clap, text, width):
    """A text is padded to the narrowest width that holds it, and cut to the positions that the net has."""
    from transformers import AutoTokenizer

    tokenizer = TextTokenizer(
        "encode.clap", AutoTokenizer.from_pretrained(tiny_clap), 38, 1000, str(tiny_clap)
    )

    assert (1, 2, width) == tokenizer.tokenize(text).shape


def test_a_tokenizer_without_its_vocabulary(saving_clap, tmp_path):
    """Five special tokens make every caption the same, and no library says so."""
    folder = saving_clap(tmp_path / "clap", vocabulary=False)

    with pytest.raises(ConfigError, match="knows 5 tokens and cannot tell captions apart"):
        TransformersClap(str(folder), None, "fp32", 4).space()


def forget_words(folder):
    from transformers import CLIPTokenizer

    CLIPTokenizer(vocab={"<|startoftext|>": 0, "<|endoftext|>": 1}, merges=[]).save_pretrained(folder)


def learn_words(folder):
    from transformers import CLIPTokenizer

    words = ["<|startoftext|>", "<|endoftext|>", *(f"{number}</w>" for number in range(700))]
    CLIPTokenizer(vocab={word: number for number, word in enumerate(words)}, merges=[]).save_pretrained(
        folder
    )


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        pytest.param(forget_words, "cannot tell captions apart", id="no-vocabulary"),
        pytest.param(learn_words, "knows 702 tokens and the net 600", id="tokenizer-of-another-net"),
    ],
)
def test_another_tokenizer_is_refused(clip_models, tmp_path, edit, said):
    """Neither one without words nor one with words that the net does not have."""
    folder = tmp_path / "clip"
    shutil.copytree(clip_models["clip"], folder)
    edit(folder)

    with pytest.raises(ConfigError, match=said):
        TransformersClip(str(folder), None, "fp32", 4).load()
