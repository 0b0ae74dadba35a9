"""Encoders of random weights, saved and loaded by the real libraries; and media for them."""

import io
import json

import numpy as np
import pytest
import soundfile
from PIL import Image

CLIP = {
    "model_cfg": {
        "embed_dim": 24,
        "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "patch_size": 16, "head_width": 32},
        "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
    },
    "preprocess_cfg": {"mean": [0.4, 0.5, 0.6], "std": [0.2, 0.25, 0.3], "resize_mode": "shortest"},
}
CLAP_TEXT = {
    "hidden_size": 32, "intermediate_size": 37, "num_attention_heads": 4, "num_hidden_layers": 2,
    "vocab_size": 1000, "bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 1,
    "max_position_embeddings": 40,
}  # fmt: skip
CLAP_AUDIO = {
    "spec_size": 64, "window_size": 4, "num_mel_bins": 16, "depths": [1, 1], "num_attention_heads": [2, 2],
    "num_hidden_layers": 2, "hidden_size": 64, "patch_size": 4, "patch_stride": [4, 4],
    "patch_embeds_hidden_size": 32,
}  # fmt: skip


def save_clip(folder):
    """Save a random CLIP as open_clip's `local-dir:` reads it."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(0)
    model = open_clip.CLIP(**CLIP["model_cfg"])
    folder.mkdir(parents=True)
    (folder / "open_clip_config.json").write_text(json.dumps(CLIP))
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    return folder


def save_clap(folder, truncation="rand_trunc", vocabulary=True):
    """Save a random ClapModel with its processor, as `from_pretrained` reads it."""
    import torch
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import ClapConfig, ClapFeatureExtractor, ClapModel, ClapProcessor, RobertaTokenizer

    torch.manual_seed(0)
    audio = CLAP_AUDIO | {"enable_fusion": truncation == "fusion"}
    model = ClapModel(ClapConfig(text_config=CLAP_TEXT, audio_config=audio, projection_dim=20))
    extractor = ClapFeatureExtractor(
        feature_size=16, max_length_s=1, truncation=truncation, frequency_min=50, frequency_max=14_000
    )
    words = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", *(sorted(ByteLevel.alphabet()) if vocabulary else ())]
    tokenizer = RobertaTokenizer(
        vocab={word: number for number, word in enumerate(words)}, merges=[], model_max_length=77
    )
    model.save_pretrained(folder)
    ClapProcessor(extractor, tokenizer).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def one_thread():
    """Small nets lose more to the threads' waiting for each other than they gain."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def tiny_clip(tmp_path_factory, one_thread):
    """The folder of a random CLIP of 24 dimensions, 32 px and 16 tokens."""
    return save_clip(tmp_path_factory.mktemp("weights") / "tiny-clip")


@pytest.fixture(scope="session")
def tiny_clap(tmp_path_factory, one_thread):
    """The folder of a random CLAP of 20 dimensions and windows of 1 s."""
    return save_clap(tmp_path_factory.mktemp("weights") / "tiny-clap")


@pytest.fixture(scope="session")
def saving_clap():
    """Save another random CLAP."""
    return save_clap


@pytest.fixture(scope="session")
def jpeg():
    """Make the bytes of a random picture of 40 x 36."""

    def make(seed):
        pixels = np.random.default_rng(seed).integers(0, 255, (9, 10, 3), dtype=np.uint8)
        made = io.BytesIO()
        Image.fromarray(pixels).resize((40, 36)).save(made, "JPEG")
        return made.getvalue()

    return make


@pytest.fixture(scope="session")
def flac():
    """Make the bytes of a tone in noise."""

    def make(seed, length_s=0.7, rate_hz=48_000, channels=1):
        rng = np.random.default_rng(seed)
        times_T = np.arange(round(length_s * rate_hz)) / rate_hz
        tone_T = 0.4 * np.sin(2 * np.pi * (200 + 300 * (seed % 9)) * times_T)
        samples_TC = tone_T[:, None] + 0.05 * rng.standard_normal((len(times_T), channels))
        made = io.BytesIO()
        soundfile.write(made, samples_TC, rate_hz, format="FLAC")
        return made.getvalue()

    return make
