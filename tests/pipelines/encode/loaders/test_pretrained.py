import shutil

import pytest

from pipelines.encode.loaders.transformers_clap import TransformersClap
from pipelines.encode.loaders.transformers_clip import TransformersClip
from pipelines.errors import ConfigError

LOADERS = {"clip": TransformersClip, "clap": TransformersClap}


def without_tensors(folder):
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    kept = {name: tensor for name, tensor in tensors.items() if "text_projection" not in name}
    save_file(kept, folder / "model.safetensors", {"format": "pt"})


def drop(name):
    return lambda folder: (folder / name).unlink()


def write(name, content):
    return lambda folder: (folder / name).write_text(content)


@pytest.mark.parametrize("family", LOADERS)
@pytest.mark.parametrize(
    ("edit", "said"),
    [
        pytest.param(shutil.rmtree, "no folder.*pocket", id="no-folder"),
        pytest.param(drop("model.safetensors"), "no model.safetensors.*pocket", id="no-weights"),
        pytest.param(drop("config.json"), "no config.json.*pocket", id="no-config"),
        pytest.param(write("config.json", "{"), "no config.json.*pocket", id="not-json"),
        pytest.param(write("config.json", '{"model_type": "bert"}'), "bert model, not a cl[ai]p", id="bert"),
        pytest.param(drop("tokenizer.json"), "tokenizer", id="no-tokenizer"),
        pytest.param(write("model.safetensors", "x"), "cannot be loaded", id="garbage"),
        pytest.param(without_tensors, r"lack [14] tensors of .*first text_p", id="tensors-missing"),
    ],
)
def test_broken_folders(clip_models, tiny_clap, tmp_path, family, edit, said):
    """Never random numbers for what is missing: one sentence that says what to do."""
    folder = tmp_path / family
    shutil.copytree(clip_models["clip"] if family == "clip" else tiny_clap, folder)
    edit(folder)

    with pytest.raises(ConfigError, match=rf"encode\.{family}.*{said}"):
        LOADERS[family](str(folder), None, "fp32", 4).load()


def test_a_clap_is_no_clip(tiny_clap):
    """A model of the other family is named as what it is."""
    with pytest.raises(ConfigError, match="holds a clap model, not a clip or siglip"):
        TransformersClip(str(tiny_clap), None, "fp32", 4).space()


@pytest.mark.parametrize("family", LOADERS)
@pytest.mark.parametrize(
    ("weights", "revision", "said"),
    [
        pytest.param("laion/clap-htsat-unfused", "main", "'main' may move", id="branch"),
        pytest.param("laion/clap-htsat-unfused", None, "could not be fetched.*pocket", id="no-network"),
        pytest.param("./nowhere", None, "no folder ./nowhere.*pocket", id="no-folder"),
    ],
)
def test_the_hub(family, weights, revision, said):
    """A branch is no revision; weights that cannot be had are named, with a way to try without."""
    with pytest.raises(ConfigError, match=rf"encode\.{family}.*{said}"):
        LOADERS[family](weights, revision, "fp32", 4).space()
