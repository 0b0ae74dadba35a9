import re
import subprocess
import sys

import numpy as np
import pytest

from pipelines.encode.encoder import EncoderSpec, encode
from pipelines.encode.loaders.laion_clap import LaionClap
from pipelines.encode.loaders.waveform import decode_mono
from pipelines.encode.space_check import check_same_space
from pipelines.errors import ConfigError

WINDOW = 480_000
# The real audio net and the whole library behind it.
SLOW = pytest.mark.slow
PATCHES = "audio_branch.patch_embed.proj.weight"


@pytest.fixture(scope="module")
def spec(laion, roberta):
    loader = LaionClap(str(laion[0]), None, str(roberta), "fp32", 2)
    return EncoderSpec(loader.space(), loader)


def own_sound(laion, samples_T):
    """What laion_clap itself makes of one sound."""
    import torch
    from training.data import get_audio_features

    _, model, config = laion
    with torch.inference_mode():
        made = get_audio_features(
            {}, torch.from_numpy(samples_T), WINDOW, "rand_trunc", "repeatpad", config["audio_cfg"]
        )
        return model.get_audio_embedding([made])[0].numpy()


@SLOW
@pytest.mark.parametrize("length_s", [0.7, 3.0, 10.0], ids=["short", "repeated-thrice", "a-window"])
def test_sounds_are_the_librarys_own(laion, spec, flac, length_s):
    """A sound comes out as laion_clap's single call gives it: the same waveform, repeated and padded."""
    sound = flac(3, length_s=length_s)
    tower = spec.open()["audio"]

    unit_ND, norms_N = encode(tower, [tower.prepare(sound)], 2)

    np.testing.assert_allclose(own_sound(laion, decode_mono(sound, 48_000)), unit_ND[0], atol=1e-5)
    assert norms_N[0] != pytest.approx(1, abs=1e-3)


@SLOW
def test_texts_are_the_librarys_own(laion, roberta, spec):
    """A text comes out as laion_clap's single call gives it, padded to 77 tokens."""
    import torch
    from transformers import AutoTokenizer

    tokens = AutoTokenizer.from_pretrained(roberta)(
        "rain on a tin roof", padding="max_length", truncation=True, max_length=77, return_tensors="pt"
    )
    with torch.inference_mode():
        own_D = laion[1].get_text_embedding(dict(tokens))[0].numpy()
    tower = spec.open()["text"]

    unit_ND, _ = encode(tower, [tower.prepare("rain on a tin roof")], 2)

    np.testing.assert_allclose(own_D, unit_ND[0], atol=1e-5)


@SLOW
def test_a_long_sound_is_the_mean_of_its_windows(laion, spec, flac):
    """Where laion_clap would cut 10 s out at random: every window, then the last one whole."""
    sound = flac(3, length_s=12.0)
    samples_T = decode_mono(sound, 48_000)
    windows = [own_sound(laion, samples_T[start : start + WINDOW]) for start in (0, len(samples_T) - WINDOW)]
    tower = spec.open()["audio"]

    unit_ND, _ = encode(tower, [tower.prepare(sound)], 2)

    mean_D = np.mean(windows, axis=0)
    np.testing.assert_allclose(mean_D / np.linalg.norm(mean_D), unit_ND[0], atol=1e-5)


@SLOW
@pytest.mark.parametrize(("rate_hz", "channels"), [(22_050, 2), (44_100, 1)], ids=["stereo", "cd"])
def test_files_are_read_as_the_library_reads_them(flac, tmp_path, rate_hz, channels):
    """Mono, the resampler and the int16 step are those of get_audio_embedding_from_filelist."""
    import librosa
    from training.data import float32_to_int16, int16_to_float32

    (tmp_path / "sound.flac").write_bytes(flac(4, rate_hz=rate_hz, channels=channels))
    own_T, _ = librosa.load(tmp_path / "sound.flac", sr=48_000)

    samples_T = decode_mono((tmp_path / "sound.flac").read_bytes(), 48_000)

    # One step of int16 where a sample lies between two.
    np.testing.assert_allclose(int16_to_float32(float32_to_int16(own_T)), samples_T, atol=1.01 / 32767)
    assert (samples_T == int16_to_float32(float32_to_int16(own_T))).mean() > 0.999


def as_transformers(model, folder, tokenizer):
    """Save a net of laion_clap as a ClapModel, tensor by tensor."""
    from transformers import AutoTokenizer, ClapConfig, ClapFeatureExtractor, ClapModel, ClapProcessor

    text = {"vocab_size": 300, "num_hidden_layers": 2, "max_position_embeddings": 514, "type_vocab_size": 1}
    net = ClapModel(ClapConfig(text_config=text | {"layer_norm_eps": 1e-5}, projection_dim=512))
    state = {}
    for given, tensor in model.state_dict().items():
        if given.startswith(("text_transform.", "audio_transform.")) or "_extractor." in given:
            continue
        name = given
        for theirs, ours in RENAMED:
            name = re.sub(theirs, ours, name)
        if ".qkv." in name:
            for part, of in zip(("query", "key", "value"), tensor.chunk(3), strict=True):
                state[name.replace("qkv", part)] = of
        else:
            state[name] = tensor
    report = net.load_state_dict(state, strict=False)
    # The head that names AudioSet's classes has no part in an embedding, and masks follow from the sizes.
    unused = r"tscam_conv|\.head\.|attn_mask"
    assert [] == [name for name in report.missing_keys if not re.search("position_ids|token_type", name)]
    assert [] == [name for name in report.unexpected_keys if not re.search(unused, name)]
    net.save_pretrained(folder)
    extractor = ClapFeatureExtractor(truncation="rand_trunc", frequency_min=50, frequency_max=14_000)
    ClapProcessor(extractor, AutoTokenizer.from_pretrained(tokenizer)).save_pretrained(folder)


RENAMED = (
    (r"^text_branch\.", "text_model."),
    (r"^audio_branch\.", "audio_model.audio_encoder."),
    (r"\.attn\.proj\.", ".attention.output.dense."),
    (r"\.attn\.relative", ".attention.self.relative"),
    (r"\.attn\.", ".attention.self."),
    (r"\.mlp\.fc1\.", ".intermediate.dense."),
    (r"\.mlp\.fc2\.", ".output.dense."),
    (r"\.norm1\.", ".layernorm_before."),
    (r"\.norm2\.", ".layernorm_after."),
    (r"audio_encoder\.bn0", "audio_encoder.batch_norm"),
    (r"_projection\.0\.", "_projection.linear1."),
    (r"_projection\.2\.", "_projection.linear2."),
    (r"^logit_scale_(.)$", r"logit_scale_\1"),
)


@SLOW
def test_the_same_weights_through_transformers(laion, roberta, spec, tmp_path, flac):
    """Two libraries with one set of weights are one space: the gate passes them, and so do sounds."""
    from pipelines.encode.loaders.transformers_clap import TransformersClap

    as_transformers(laion[1], tmp_path, roberta)
    loader = TransformersClap(str(tmp_path), None, "fp32", 2)
    other = EncoderSpec(loader.space(), loader)

    assert check_same_space(spec, other) > 0.9999
    sound = flac(3, length_s=10.0)
    both = [encode(of.open()["audio"], [of.open()["audio"].prepare(sound)], 2)[0] for of in (spec, other)]
    assert (both[0] * both[1]).sum() > 0.999


@SLOW
def test_half_precision_stays_near(laion, roberta, spec, flac):
    """bf16 has nearly the direction of fp32: the spectrograms are made in fp32 for both."""
    half = LaionClap(str(laion[0]), None, str(roberta), "bf16", 2).load()
    for modality, items in (("audio", [flac(1), flac(2)]), ("text", ["a bell", "rain"])):
        tower = spec.open()[modality]
        pieces = [tower.prepare(item) for item in items]

        full_ND, half_ND = encode(tower, pieces, 2)[0], encode(half[modality], pieces, 2)[0]

        assert (full_ND * half_ND).sum(axis=1).min() > 0.999


@SLOW
def test_the_command_line_is_left_alone(laion, roberta):
    """laion_clap's own import reads the arguments of whoever imports it, and ends the program."""
    code = (
        "from pipelines.encode.loaders.laion_clap import LaionClap; "
        f"print(sorted(LaionClap({str(laion[0])!r}, None, {str(roberta)!r}, 'fp32', 2).load()))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, "build", "animals.yaml"], capture_output=True, text=True, check=False
    )

    assert (0, "['audio', 'text']") == (ended.returncode, ended.stdout.strip())


@SLOW
def test_missing_tensors(laion, roberta, tmp_path):
    """Never random numbers for what is missing."""
    import torch

    written = torch.load(laion[0], weights_only=False)
    del written["state_dict"]["module.audio_projection.0.weight"]
    torch.save(written, tmp_path / "short.pt")

    with pytest.raises(ConfigError, match=r"short\.pt cannot be loaded"):
        LaionClap(str(tmp_path / "short.pt"), None, str(roberta), "fp32", 2).load()


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
