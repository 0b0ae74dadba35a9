import io
import json
import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from pipelines.encode.encoder import EncoderSpec, encode
from pipelines.encode.loaders.open_clip import OpenClip
from pipelines.errors import ConfigError, UndecodableMediaError


@pytest.fixture(scope="module")
def spec(tiny_clip):
    loader = OpenClip(f"local-dir:{tiny_clip}", "", "fp32", 8)
    return EncoderSpec(loader.space(), loader)


@pytest.fixture(scope="module")
def pictures(jpeg):
    return [jpeg(seed) for seed in range(11)]


def test_vectors_are_the_librarys_own(tiny_clip, spec, pictures):
    """Pictures and texts come out as open_clip's single call gives them, and keep their raw norm."""
    import open_clip
    import torch

    model, _, transform = open_clip.create_model_and_transforms(f"local-dir:{tiny_clip}")
    model.eval()
    tokens = open_clip.get_tokenizer(f"local-dir:{tiny_clip}")(["a bell"])
    with torch.inference_mode():
        picture_D = model.encode_image(transform(Image.open(io.BytesIO(pictures[0])))[None])[0].numpy()
        text_D = model.encode_text(tokens)[0].numpy()

    towers = spec.open()
    for expected_D, tower, item in (
        (picture_D, towers["image"], pictures[0]),
        (text_D, towers["text"], "a bell"),
    ):
        unit_ND, norms_N = encode(tower, [tower.prepare(item)], 8)
        assert unit_ND.dtype == np.float32
        np.testing.assert_allclose(expected_D, unit_ND[0] * norms_N[0], atol=1e-5)


def test_a_vector_does_not_depend_on_its_neighbours(spec, pictures):
    """Alone, in company, and at any place in a batch: the same bits."""
    tower = spec.open()["image"]
    pieces = [tower.prepare(picture) for picture in pictures]
    together, _ = encode(tower, pieces, 8)

    backwards, _ = encode(tower, pieces[::-1], 8)
    alone = np.concatenate([encode(tower, [piece], 8)[0] for piece in pieces])

    np.testing.assert_array_equal(together, backwards[::-1])
    np.testing.assert_array_equal(together, alone)


def test_preparing_is_safe_in_threads(spec, pictures):
    """Eight threads prepare what one does."""
    towers = spec.open()
    jobs = [("image", picture) for picture in pictures] + [("text", f"bell {n}") for n in range(50)]
    alone = [towers[modality].prepare(item) for modality, item in jobs]
    with ThreadPoolExecutor(8) as pool:
        at_once = list(pool.map(lambda job: towers[job[0]].prepare(job[1]), jobs))

    for one, other in zip(alone, at_once, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        pytest.param(lambda data: b"<html>", "undecodable", id="html"),
        pytest.param(lambda data: b"", "undecodable", id="empty"),
        pytest.param(lambda data: data[:300], "undecodable", id="truncated"),
    ],
)
def test_bad_pictures(spec, pictures, spoil, reason):
    """What cannot be decoded is an outcome, with its reason."""
    with pytest.raises(UndecodableMediaError) as caught:
        spec.open()["image"].prepare(spoil(pictures[0]))

    assert caught.value.reason == reason


@pytest.mark.parametrize("text", ["", "dog " * 1250], ids=["empty", "5,000-characters"])
def test_any_text_has_one_shape(spec, text):
    """Texts are padded or cut to the model's context."""
    assert spec.open()["text"].prepare(text).shape == (1, 16)


def test_space_names_what_decides_a_vector(tiny_clip, spec, tmp_path):
    """The space has the sha256 of the file, no path, and is the same wherever the folder lies."""
    import hashlib

    elsewhere = tmp_path / "tiny-clip"
    shutil.copytree(tiny_clip, elsewhere)
    digest = hashlib.sha256((tiny_clip / "open_clip_model.safetensors").read_bytes()).hexdigest()

    assert OpenClip(f"local-dir:{elsewhere}", "", "fp32", 8).space() == spec.space
    assert (digest, 24, 8) == (spec.space.weights_sha256, spec.space.dims, spec.space.batch_rows)
    assert spec.space.encoder == "open_clip:local-dir:tiny-clip"
    assert "32x32, mean 0.4,0.5,0.6" in spec.space.preprocessing


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_stays_near(tiny_clip, spec, pictures, precision):
    """Half the bits, nearly the same direction, and another space."""
    loader = OpenClip(f"local-dir:{tiny_clip}", "", precision, 8)
    half = EncoderSpec(loader.space(), loader)
    pieces = [spec.open()["image"].prepare(picture) for picture in pictures]

    full_ND, _ = encode(spec.open()["image"], pieces, 8)
    half_ND, _ = encode(half.open()["image"], pieces, 8)

    assert (full_ND * half_ND).sum(axis=1).min() > 0.999
    assert half.space.describe_differences(spec.space) == f"precision {precision}, not fp32"


def edited(tiny_clip, tmp_path, edit):
    folder = tmp_path / "clip"
    shutil.copytree(tiny_clip, folder)
    edit(folder)
    return f"local-dir:{folder}"


def drop(name):
    return lambda folder: (folder / name).unlink()


def write(name, content):
    return lambda folder: (folder / name).write_text(content)


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        pytest.param(shutil.rmtree, "pocket", id="no-folder"),
        pytest.param(drop("open_clip_config.json"), "pocket", id="no-config"),
        pytest.param(drop("open_clip_model.safetensors"), "pocket", id="no-weights"),
        pytest.param(write("open_clip_config.json", "{"), "model_cfg", id="not-json"),
        pytest.param(write("open_clip_model.safetensors", "x"), "cannot be loaded", id="garbage"),
    ],
)
def test_broken_folders(tiny_clip, tmp_path, edit, said):
    """Never a random model: one sentence that says what was looked for and what to do."""
    loader = OpenClip(edited(tiny_clip, tmp_path, edit), "", "fp32", 8)

    with pytest.raises(ConfigError, match=said) as caught:
        loader.load()

    assert str(tmp_path) in str(caught.value) or "local-dir:clip" in str(caught.value)


def test_weights_of_another_model(tiny_clip, tmp_path):
    """Weights that do not fill the configured net are refused."""

    def widen(folder):
        config = json.loads((folder / "open_clip_config.json").read_text())
        config["model_cfg"]["embed_dim"] = 48
        (folder / "open_clip_config.json").write_text(json.dumps(config))

    with pytest.raises(ConfigError, match="belong together"):
        OpenClip(edited(tiny_clip, tmp_path, widen), "", "fp32", 8).load()


def test_a_tokenizer_of_another_net(tiny_clip, tmp_path):
    """Where a configuration names none, open_clip takes its own, whose words the net may not have."""

    def fewer_words(folder):
        config = json.loads((folder / "open_clip_config.json").read_text())
        config["model_cfg"]["text_cfg"]["vocab_size"] = 1000
        (folder / "open_clip_config.json").write_text(json.dumps(config))

    with pytest.raises(ConfigError, match=r"knows 49408 tokens and the net 1000.*hf_tokenizer_name"):
        OpenClip(edited(tiny_clip, tmp_path, fewer_words), "", "fp32", 8).space()


CODE = """
open({written!r}, "a").close()
from transformers import PretrainedConfig, PreTrainedTokenizer, PreTrainedTokenizerFast as Theirs
class TheirConfig(PretrainedConfig):
    model_type = "theirs"
"""


@pytest.mark.parametrize("asked", [{"trust_remote_code": True}, {}, {"trust_remote_code": None}])
@pytest.mark.parametrize("part", ["tokenizer", "net"])
def test_code_beside_weights_is_not_run(tiny_clip, tmp_path, monkeypatch, asked, part):
    """A configuration may ask for it; a library that is not told would ask on the terminal."""
    written = tmp_path / "written"

    def ask(folder):
        config = json.loads((folder / "open_clip_config.json").read_text())
        text = config["model_cfg"]["text_cfg"]
        if part == "tokenizer":
            text.update(hf_tokenizer_name="theirs", tokenizer_kwargs=asked)
        else:
            text.update(hf_model_name=str(folder), hf_tokenizer_name="theirs", tokenizer_kwargs=asked)
        (folder / "open_clip_config.json").write_text(json.dumps(config))
        (folder / "theirs.py").write_text(CODE.format(written=str(written)))
        maps = {"AutoTokenizer": [None, "theirs.Theirs"], "AutoConfig": "theirs.TheirConfig"}
        (folder / "tokenizer_config.json").write_text(
            json.dumps({"auto_map": maps, "tokenizer_class": "Theirs"})
        )
        (folder / "config.json").write_text(json.dumps({"model_type": "theirs", "auto_map": maps}))

    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("asked on the terminal"))
    loader = OpenClip(edited(tiny_clip, tmp_path, ask), "", "fp32", 8)
    with pytest.raises(ConfigError, match="cannot be loaded"):
        loader.space()
    with pytest.raises(ConfigError, match="cannot be loaded"):
        loader.load()

    assert not written.exists()


@pytest.mark.parametrize(
    ("model", "weights", "said"),
    [
        pytest.param("ViT-B-32", "openai", "take the model ViT-B-32-quickgelu", id="openai-gelu"),
        pytest.param("ViT-B-32-quickgelu", "laion2b_e16", "it has: openai, ", id="tag-of-its-twin"),
        pytest.param("ViT-B-23", "openai", "nearest: ViT-B-32", id="unknown-name"),
        pytest.param("ViT-B-32", "opnai", "it has: openai, ", id="unknown-tag"),
        pytest.param("ViT-B-32-quickgelu", "openai", "could not be fetched .*pocket", id="no-network"),
        pytest.param("hf-hub:timm/none", "", "could not be fetched .*pocket", id="no-hub"),
    ],
)
def test_what_open_clip_would_let_pass(model, weights, said):
    """A mismatched activation, an unknown name or tag, and weights that cannot be had are errors."""
    with pytest.raises(ConfigError, match=said):
        OpenClip(model, weights, "fp32", 8).space()
