"""The generators of pictures: described before they are loaded, and refused in one sentence."""

import logging
import shutil

import numpy as np
import pytest
import torch

from pipelines.errors import ConfigError, SpaceError
from pipelines.generate.registry import choose_generator
from pipelines.generate.stable_diffusion.base import hash_unet
from pipelines.generate.stable_diffusion.params import SoundPictureParams, StableDiffusionParams
from pipelines.generate.stable_diffusion.spec import Clap2DiffusionSpec, StableDiffusionSpec
from pipelines.models.adapter_files import save_adapter
from pipelines.models.audio_adapter import AudioAdapter, make_image_embeds
from pipelines.models.audio_attention import describe_shape
from schemas.audio_adapter import AdapterCard, AdapterSettings
from schemas.generators import OtherGenerator
from tests.pipelines.random_diffusion import SOUND, load_into, make_sounds, make_unet

PARAMS = SoundPictureParams(steps=2, guidance=3.0)
SPACE = "0" * 64 + f"/{SOUND}d"


@pytest.fixture(scope="module")
def tiny_adapter(tiny_base, tmp_path_factory):
    """The folder of a random adapter of the tiny base."""
    folder = tmp_path_factory.mktemp("adapter")
    torch.manual_seed(5)
    settings = AdapterSettings(hidden=16, depth=1)
    shape = describe_shape(make_unet(cross=96), SOUND)
    card = AdapterCard(settings=settings, shape=shape, space=SPACE, base=hash_unet(tiny_base))
    save_adapter(AudioAdapter(settings, shape), card, folder)
    return folder


@pytest.fixture(scope="module")
def heard(tiny_base, tiny_adapter):
    """The loaded generator of sounds and words, one picture a batch."""
    return Clap2DiffusionSpec(str(tiny_adapter), str(tiny_base), batch_rows=1).open()


def entry(**keys) -> OtherGenerator:
    return OtherGenerator(**keys)


def test_they_are_chosen_by_name_and_described_with_their_licence(tiny_base, tiny_adapter):
    words = choose_generator(entry(name="stable-diffusion", weights=str(tiny_base))).info
    sounds = choose_generator(
        entry(name="clap2diffusion", weights=str(tiny_adapter), base=str(tiny_base))
    ).info
    assert ("picture", ("caption",), "openrail") == (words.medium, words.reads, words.licence)
    assert ("clap_audio", "caption") == sounds.reads
    assert (("clap_audio", SPACE),) == sounds.spaces
    assert "openrail" == sounds.licence
    other = choose_generator(
        entry(name="clap2diffusion", weights=str(tiny_adapter), base=str(tiny_base), norm=60.0)
    ).info
    assert sounds.weights_sha256 != other.weights_sha256


def test_a_stock_pipeline_makes_the_same_pictures_of_a_prompt(tiny_base, tiny_adapter, heard):
    """With the words of its own tokenizer, bit for bit, at one picture a batch."""
    import diffusers

    texts, sounds, seeds = ["a bell on a beach", "two dogs"], make_sounds(2), [3, 4]
    made = heard.generate({"clap_audio": sounds.numpy(), "caption": texts}, seeds, PARAMS)
    pipeline = diffusers.StableDiffusionPipeline.from_pretrained(tiny_base, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    load_into(pipeline, tiny_adapter, ("adapter",))
    assert (64, 64) == made.size
    for text, sound, seed, own in zip(texts, sounds, seeds, made.data, strict=True):
        with torch.inference_mode():
            embeds = make_image_embeds(heard._adapter, sound)
        stock = pipeline(
            text,
            num_inference_steps=2,
            guidance_scale=3.0,
            generator=torch.Generator().manual_seed(seed),
            ip_adapter_image_embeds=embeds,
            output_type="np",
        ).images[0]
        assert np.array_equal(own, (stock * 255).round().astype(np.uint8))


def test_a_picture_does_not_depend_on_its_batch_or_place(tiny_base):
    generator = StableDiffusionSpec(str(tiny_base), batch_rows=2).open()
    params = StableDiffusionParams(steps=2)
    steps = []
    three = generator.generate(
        {"caption": ["a bell", "a dog", "a cat"]},
        [1, 2, 3],
        params,
        lambda done, of: steps.append((done, of)),
    )
    last = generator.generate({"caption": ["a cat"]}, [3], params)
    assert np.array_equal(three.data[2], last.data[0])
    assert [(1, 4), (2, 4), (3, 4), (4, 4)] == steps
    assert generator.encode_text(["a bell"]) is None


def test_a_long_text_is_cut_and_that_is_said(heard, caplog):
    with caplog.at_level(logging.WARNING):
        heard.base.encode_words(["a drum " * 30])
    assert "is cut at the 20 that the base reads" in caplog.text


def test_pictures_that_do_not_fit_are_made_in_halves_and_that_is_said(tiny_base, monkeypatch, caplog):
    generator = StableDiffusionSpec(str(tiny_base), batch_rows=4).open()
    forward = generator.base.unet.forward

    def run(sample, *args, most=2, **options):
        if len(sample) > most:
            raise torch.OutOfMemoryError
        return forward(sample, *args, **options)

    monkeypatch.setattr(generator.base.unet, "forward", run)
    params = StableDiffusionParams(steps=1, guidance=1)
    with caplog.at_level(logging.WARNING):
        made = generator.generate({"caption": ["a bell"] * 3}, [1, 2, 3], params)
    assert 3 == len(made.data)
    assert "made in halves" in caplog.text
    monkeypatch.setattr(
        generator.base.unet, "forward", lambda *args, **options: run(*args, most=0, **options)
    )
    with pytest.raises(ConfigError, match="too small for one picture of 64 px"):
        generator.generate({"caption": ["a bell"]}, [1], params)


def test_bad_vectors_are_refused(heard):
    for vectors in (np.zeros((1, SOUND), np.float32), np.full((1, SOUND), np.nan, np.float32)):
        with pytest.raises(ConfigError, match="without a direction"):
            heard.generate({"clap_audio": vectors, "caption": [""]}, [0], PARAMS)
    with pytest.raises(ConfigError, match=f"takes a vector of {SOUND} numbers"):
        heard.generate({"clap_audio": np.ones((1, 3), np.float32), "caption": [""]}, [0], PARAMS)


def test_bad_bases_and_adapters_are_refused_in_one_sentence(tiny_base, tiny_adapter, tmp_path):
    with pytest.raises(ConfigError, match="base 'nothing' is no folder here; give pocket"):
        choose_generator(entry(name="stable-diffusion", weights="nothing"))
    with pytest.raises(ConfigError, match="is no Stable Diffusion that diffusers saved"):
        choose_generator(entry(name="stable-diffusion", weights=str(tmp_path)))
    with pytest.raises(ConfigError, match="there is no adapter in"):
        choose_generator(entry(name="clap2diffusion", weights=str(tmp_path / "no"), base=str(tiny_base)))
    copy = tmp_path / "base"
    shutil.copytree(tiny_base, copy)
    file = copy / "unet" / "diffusion_pytorch_model.safetensors"
    file.write_bytes(file.read_bytes()[:-4])
    with pytest.raises(SpaceError, match=r"trained on the UNet .* give generator\.base the one"):
        choose_generator(entry(name="clap2diffusion", weights=str(tiny_adapter), base=str(copy)))
    with pytest.raises(ConfigError, match="cannot be loaded"):
        StableDiffusionSpec(str(copy)).open()
    file.rename(file.with_suffix(".bin"))
    with pytest.raises(ConfigError, match=r"its unet has no diffusion_pytorch_model\.safetensors"):
        choose_generator(entry(name="stable-diffusion", weights=str(copy)))
