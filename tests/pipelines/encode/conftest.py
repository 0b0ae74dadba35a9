"""More encoders of random weights: the real classes, processors and tokenizers in small sizes."""

import json
import sys
from contextlib import contextmanager

import pytest

WORDS = ["dog", "bell", "rain", "a", "is", "barking", "on", "tin", "roof", "bird", "red", "two", "drum"]
TEXT = {"hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 4, "num_hidden_layers": 2}
VISION = TEXT | {"image_size": 32, "patch_size": 8}


def byte_bpe():
    """Return a byte-level vocabulary of CLIP: every byte alone and at the end of a word; no merges."""
    from tokenizers.pre_tokenizers import ByteLevel

    alphabet = sorted(ByteLevel.alphabet())
    words = ["<|startoftext|>", "<|endoftext|>", *alphabet, *(f"{letter}</w>" for letter in alphabet)]
    return {word: number for number, word in enumerate(words)}


def save_clip_model(folder):
    """Save a random CLIPModel of 24 dimensions with its processor."""
    import torch
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor, CLIPTokenizer

    torch.manual_seed(0)
    text = TEXT | {"vocab_size": 600, "bos_token_id": 0, "eos_token_id": 1, "max_position_embeddings": 20}
    CLIPModel(CLIPConfig(text_config=text, vision_config=VISION, projection_dim=24)).save_pretrained(folder)
    images = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    tokenizer = CLIPTokenizer(vocab=byte_bpe(), merges=[], model_max_length=20)
    CLIPProcessor(images, tokenizer).save_pretrained(folder)
    return folder


def save_siglip_model(folder):
    """Save a random SiglipModel of 64 dimensions with its processor, as Google trained them: no mask."""
    import sentencepiece
    import torch
    from transformers import (
        SiglipConfig,
        SiglipImageProcessor,
        SiglipModel,
        SiglipProcessor,
        SiglipTokenizer,
    )

    torch.manual_seed(0)
    folder.mkdir(parents=True)
    lines = [" ".join(WORDS[start:] + WORDS[:start]) for start in range(len(WORDS))]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines * 20), model_prefix=str(folder / "spiece"), vocab_size=300,
        model_type="unigram", pad_id=0, eos_id=1, unk_id=2, bos_id=-1, hard_vocab_limit=False,
        byte_fallback=True, minloglevel=2,
    )  # fmt: skip
    tokenizer = SiglipTokenizer(
        str(folder / "spiece.model"), model_max_length=16, model_input_names=["input_ids"]
    )
    text = TEXT | {"vocab_size": 400, "max_position_embeddings": 16, "projection_size": 64}
    SiglipModel(SiglipConfig(text_config=text, vision_config=VISION)).save_pretrained(folder)
    images = SiglipImageProcessor(size={"height": 32, "width": 32})
    SiglipProcessor(images, tokenizer).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def clip_models(tmp_path_factory, one_thread):
    """Name -> the folder of a random image-text model of transformers."""
    place = tmp_path_factory.mktemp("weights")
    return {"clip": save_clip_model(place / "clip"), "siglip": save_siglip_model(place / "siglip")}


@contextmanager
def _arguments():
    """laion_clap reads the command line of whoever imports it."""
    before, sys.argv = sys.argv, sys.argv[:1]
    try:
        yield
    finally:
        sys.argv = before


@pytest.fixture(scope="session")
def roberta(tmp_path_factory):
    """The folder of a RoBERTa tokenizer of bytes."""
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import RobertaTokenizer

    folder = tmp_path_factory.mktemp("tokenizer")
    words = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", *sorted(ByteLevel.alphabet())]
    vocabulary = {word: number for number, word in enumerate(words)}
    RobertaTokenizer(vocab=vocabulary, merges=[], model_max_length=512).save_pretrained(folder)
    return folder


def laion_net(text_layers=2, audio="HTSAT-tiny", **config):
    """Return a random net of laion_clap: its real audio net, and a RoBERTa of few words and layers."""
    import torch
    from transformers import RobertaConfig, RobertaModel

    with _arguments():
        import laion_clap.hook  # noqa: F401 - puts clap_module on the path
    from clap_module import model as nets
    from clap_module.factory import _MODEL_CONFIGS

    torch.manual_seed(0)
    # roberta-base in all but words and layers.
    text = RobertaConfig(
        vocab_size=300,
        num_hidden_layers=text_layers,
        max_position_embeddings=514,
        type_vocab_size=1,
        layer_norm_eps=1e-5,
    )
    written = json.loads(json.dumps(_MODEL_CONFIGS[audio]))
    written["text_cfg"]["model_type"] = "roberta"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nets.RobertaModel, "from_pretrained", lambda _: RobertaModel(text))
        model = nets.CLAP(**written, **config)
    # A batch norm that was never trained would let everything through as it is.
    model.audio_branch.bn0.running_mean.uniform_(-30, -10)
    model.audio_branch.bn0.running_var.uniform_(100, 400)
    return model.eval(), written


@pytest.fixture(scope="session")
def laion(tmp_path_factory, one_thread):
    """A random checkpoint as LAION saves them, and the library's own net with its configuration."""
    import numpy as np
    import torch

    model, config = laion_net()
    file = tmp_path_factory.mktemp("weights") / "630k-tiny.pt"
    state = {f"module.{name}": tensor for name, tensor in model.state_dict().items()}
    state["module.text_branch.embeddings.position_ids"] = torch.arange(514)[None]
    torch.save({"epoch": 5, "name": "tiny", "state_dict": state, "best": {"recall": np.float64(0.9)}}, file)
    return file, model, config
