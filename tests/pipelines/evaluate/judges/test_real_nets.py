"""Judges over tiny random nets of the real classes of transformers, open_clip and laion_clap."""

from pathlib import Path

import numpy as np
import pytest

from pipelines.errors import ConfigError
from pipelines.evaluate.judges.registry import choose_judge
from tests.pipelines.random_weights import save_clap, save_clip

LABELS = {0: "Dog", 1: "Bell", 2: "Rain", 3: "Speech"}


@pytest.fixture(scope="module")
def ast_folder(tmp_path_factory, one_thread):
    """A random audio spectrogram transformer over four labels and windows of 0.64 s."""
    import torch
    from transformers import ASTConfig, ASTFeatureExtractor, ASTForAudioClassification

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("weights") / "ast"
    config = ASTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, max_length=64,
        num_mel_bins=32, id2label=LABELS, label2id={name: number for number, name in LABELS.items()},
    )  # fmt: skip
    ASTForAudioClassification(config).save_pretrained(folder)
    ASTFeatureExtractor(num_mel_bins=32, max_length=64).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def pe_folder(tmp_path_factory, one_thread):
    """A random PE-AV audio and text model."""
    import torch
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import (
        PeAudioConfig,
        PeAudioFeatureExtractor,
        PeAudioModel,
        PeAudioProcessor,
        RobertaTokenizer,
    )

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("weights") / "pe"
    text = {
        "model_type": "modernbert", "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
        "intermediate_size": 16, "vocab_size": 300, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2,
        "cls_token_id": 0, "sep_token_id": 2,
    }  # fmt: skip
    audio = {
        "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
        "head_dim": 8, "dac_config": {"encoder_hidden_size": 2, "hidden_size": 8, "codebook_dim": 8},
    }  # fmt: skip
    PeAudioModel(PeAudioConfig(text_config=text, audio_config=audio)).save_pretrained(folder)
    words = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", *sorted(ByteLevel.alphabet())]
    tokenizer = RobertaTokenizer(
        vocab={word: at for at, word in enumerate(words)}, merges=[], model_max_length=77
    )
    PeAudioProcessor(PeAudioFeatureExtractor(), tokenizer).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def panns_file(tmp_path_factory, one_thread):
    """A random Cnn14 of four classes at 16 kHz, saved as its authors save theirs."""
    import importlib

    import torch

    from pipelines.encode.loaders.laion_clap import import_nets

    torch.manual_seed(0)
    import_nets()
    net = importlib.import_module("clap_module.pann_model").Cnn14(16_000, 512, 160, 64, 50, 8_000, 4)
    file = tmp_path_factory.mktemp("weights") / "Cnn14_16k.pth"
    torch.save({"iteration": 1, "model": net.state_dict()}, file)
    return file


def check_embeddings(judge, files, dims):
    """Vectors of the length, NaN where nothing can be decoded, and the same whatever stands beside a file."""
    found = judge.embed([*files, b"no sound"])
    assert (len(files) + 1, dims) == found.shape
    assert np.isfinite(found[:-1]).all()
    assert np.isnan(found[-1]).all()
    np.testing.assert_allclose(judge.embed(files[1:2])[0], found[1], atol=1e-4)
    assert not np.allclose(found[0], found[1], atol=1e-4)
    assert np.isnan(judge.embed([b"no sound"])).all()


def test_ast_knows_its_labels(ast_folder, flac):
    """By their names, in any case; all without names; a class that it lacks makes it know none."""
    spec = choose_judge(f"ast:{ast_folder}")
    judge, files = spec.open(), [flac(1, 0.5), flac(2, 3.0)]
    check_embeddings(judge, files, 16)
    everything = judge.classify(files, ())

    assert (2, 4) == everything.shape
    np.testing.assert_allclose(everything[:, [2, 0]], judge.classify(files, ("rain", "dog")))
    assert judge.classify(files, ("rain", "cat")) is None
    assert ("sound", 16_000, None) == (judge.medium, judge.rate_hz, judge.read_attributes(files))
    assert spec.spaces() == (spec.fingerprint(),)


def test_pe_av_hears_and_reads(pe_folder, flac):
    """Sounds of any length and texts in one space, which gives classes; as the model's own forward does."""
    import torch

    judge, files = choose_judge(f"pe-av:{pe_folder}").open(), [flac(1, 0.5), flac(2, 0.8)]
    check_embeddings(judge, files, 16)
    found = judge.classify(files, ("a dog", "rain on a roof"))

    assert (2, 2) == found.shape
    assert judge.classify(files, ()) is None
    assert 48_000 == judge.rate_hz
    tokens = judge._processor.tokenizer("a dog", return_tensors="pt")
    wave = judge._processor.feature_extractor(
        np.zeros(4800, np.float32), sampling_rate=48_000, return_tensors="pt", padding=False
    )
    with torch.inference_mode():
        whole = judge._net(tokens["input_ids"], wave["input_values"], tokens["attention_mask"])
    np.testing.assert_allclose(whole.text_audio_embeds[0].numpy(), judge.embed_texts(["a dog"])[0], atol=1e-5)


def test_panns_is_its_authors_checkpoint(panns_file, flac):
    """2,048 numbers and the logits of its classes, of very short sounds, too; it knows no names."""
    judge, files = choose_judge(f"panns:{panns_file}").open(), [flac(1, 0.1), flac(2, 0.7)]
    check_embeddings(judge, files, 2048)

    assert (2, 4) == judge.classify(files, ()).shape
    assert judge.classify(files, ("dog",)) is None
    assert 16_000 == judge.rate_hz


def test_any_clip_and_clap_is_a_judge(tmp_path, jpeg, flac, one_thread):
    """Folders of open_clip and of transformers: classes by the nearest words."""
    clip, clap = save_clip(tmp_path / "clip"), save_clap(tmp_path / "clap")
    for name, files, dims, medium in (
        (f"clip:{clip}", [jpeg(1), jpeg(2)], 24, "picture"),
        (f"clap:{clap}", [flac(1), flac(2)], 20, "sound"),
    ):
        spec = choose_judge(name)
        judge = spec.open()
        check_embeddings(judge, files, dims)
        assert (name, medium, (2, 2)) == (
            judge.name,
            judge.medium,
            judge.classify(files, ("a", "b")).shape,
        )
        assert judge.classify(files, ()) is None
        assert spec.fingerprint() in spec.spaces()[0]


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        ("none", r"judge panns:.*there is no file .*; name a checkpoint"),
        ("pickle", r"judge panns:.*cannot be loaded"),
        ("other", r"judge panns:.*holds no Cnn14"),
        ("window", r"was trained with windows of 300 samples, so its rate is not known"),
    ],
)
def test_another_file_is_no_cnn14(harm, said, tmp_path):
    """One sentence; and nothing of a pickle is ever run."""
    import torch

    file = tmp_path / "weights.pth"
    if harm == "pickle":
        torch.save({"model": Path("x")}, file)
    elif harm == "other":
        torch.save({"model": {"weight": torch.zeros(2)}}, file)
    elif harm == "window":
        keys = ("spectrogram_extractor.stft.conv_real.weight", "fc_audioset.weight")
        torch.save({"model": {key: torch.zeros(2, 1, 300) for key in keys}}, file)
    with pytest.raises(ConfigError, match=said):
        choose_judge(f"panns:{file}").open()


@pytest.mark.parametrize("kind", ["ast", "pe-av", "clap", "clip"])
def test_missing_weights_name_the_judge(kind, tmp_path):
    """Not the key of a dataset's file, and not its advice."""
    (tmp_path / "empty").mkdir()
    name = f"{kind}:{tmp_path / 'empty'}"
    with pytest.raises(ConfigError, match=f"^judge {kind}:") as refused:
        choose_judge(name).open()
    assert "encode." not in str(refused.value)
