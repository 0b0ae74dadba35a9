"""The parts of the pocket Stable Diffusion: words as CLIP has them, a folder for diffusers, and its size."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from jobs.shared.presets import read_preset
from pipelines.encode.loaders.open_clip import OpenClip
from pipelines.encode.loaders.pocket import WEIGHTS
from pipelines.errors import ConfigError
from pipelines.models.audio_adapter import AudioAdapter
from pipelines.models.audio_attention import describe_shape
from pipelines.store.root import Root
from pipelines.train.noise import NoiseSchedule
from pipelines.train.pocket import sd_unet
from pipelines.train.pocket.picture_data import DrawnPictures
from pipelines.train.pocket.picture_vae import PocketPictureVae
from pipelines.train.pocket.sd_unet import PocketSdUnet
from pipelines.train.pocket.stable_diffusion import assemble_stable_diffusion
from pipelines.train.pocket.text_tower import convert_text_tower, encode_words, load_tokenizer
from pipelines.train.trainer import fit
from schemas.audio_adapter import AdapterSettings
from schemas.recipe import Recipe

TEXTS = ["a red bell on a beach", "three dogs", "", "a drum " * 30]
RECIPE = Recipe(steps=2, batch=4, ema=0.9)


@pytest.fixture(scope="module")
def trained(tmp_path_factory, one_thread):
    """A folder of the whole pipeline after two steps of each part."""
    folder = tmp_path_factory.mktemp("pocket-sd")
    (folder / "made").mkdir()
    caches = folder / "caches"
    caches.mkdir()
    small = {"draws": 8, "block": 5}
    vae = PocketPictureVae(**small)
    fit(vae, RECIPE, Root.from_url(str(folder / "v")), name="vae", out=folder / "made", caches=caches)
    unet = PocketSdUnet(vae=str(folder / "made" / "vae"), **small)
    fit(unet, RECIPE, Root.from_url(str(folder / "u")), name="unet", out=folder / "made", caches=caches)
    parts = {"picture_vae": folder / "made" / "vae", "sd_unet": folder / "made" / "unet"}
    assemble_stable_diffusion(folder / "whole", parts, 0, dict.fromkeys(parts, 2))
    return folder / "whole"


def test_words_have_exactly_the_states_of_pocket_clip(one_thread):
    """Of its tokens; what is pooled of them no Stable Diffusion reads."""
    import open_clip

    folder = WEIGHTS / "clip"
    assert OpenClip(f"local-dir:{folder}", "", "fp32", 4).space().dims == 512
    model = open_clip.create_model(f"local-dir:{folder}").eval()
    ids = open_clip.get_tokenizer(f"local-dir:{folder}")(TEXTS)
    with torch.inference_mode():
        states = model.token_embedding(ids) + model.positional_embedding
        states = model.ln_final(model.transformer(states, attn_mask=model.attn_mask))
    tower, tokenizer = convert_text_tower(), load_tokenizer()

    assert ids.tolist() == tokenizer(TEXTS, padding="max_length", max_length=20, truncation=True).input_ids
    assert torch.equal(states, encode_words(tower, tokenizer, TEXTS))


def test_diffusers_loads_the_folder_and_makes_a_picture_of_a_prompt(trained):
    import diffusers

    pipeline = diffusers.StableDiffusionPipeline.from_pretrained(
        trained, torch_dtype=torch.float32, local_files_only=True
    )
    pipeline.set_progress_bar_config(disable=True)
    made = pipeline(TEXTS[0], num_inference_steps=2, output_type="np").images

    assert (1, 64, 64, 3) == made.shape
    assert "license: apache-2.0" in (trained / "README.md").read_text()


def test_base_and_adapter_are_below_six_and_a_half_megabytes(trained):
    """With the adapter's settings of the presets, as fp16."""
    import diffusers

    stored = sum(file.stat().st_size for file in trained.rglob("*.safetensors"))
    unet = diffusers.UNet2DConditionModel(**sd_unet.CONFIG)
    settings = AdapterSettings.model_validate(read_preset("pocket_adapter_polish", ()).settings["adapter"])
    adapter = AudioAdapter(settings, describe_shape(unet, 512))
    assert stored + 2 * sum(each.numel() for each in adapter.parameters()) < 6.5e6


def test_pictures_are_drawn_once_and_no_evaluation_has_their_combinations(tmp_path):
    from pipelines.miniature.world import crossing_split, split_of

    drawn = DrawnPictures(tmp_path, 0, 6, 4)
    again = DrawnPictures(tmp_path, 0, 6, 4)

    assert ["00000-00004.npy", "00004-00002.npy"] == sorted(file.name for file in tmp_path.iterdir())
    assert np.array_equal(drawn.read_pixels(np.arange(6)), again.read_pixels(np.arange(6)))
    for scene in drawn.scenes:
        assert split_of(scene.kind, scene.colour, scene.background) == "train"
        assert crossing_split(scene.kind, scene.background, scene.pitch) == "train"
    assert drawn.make_caption(0, 0) != drawn.make_caption(0, 1)


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
def test_noise_is_that_of_the_schedule(kind):
    """Target and noise give the clean latents again, and min-SNR weights are those of the paper."""
    import diffusers

    scheduler = diffusers.DDIMScheduler(**sd_unet.SCHEDULER | {"prediction_type": kind})
    clean = torch.randn(50, 2, 3, 3)
    batch = NoiseSchedule(scheduler).draw(clean, torch.Generator().manual_seed(0))
    kept = scheduler.alphas_cumprod[batch.times_N][:, None, None, None]
    if kind == "epsilon":
        noise = batch.target
    else:
        noise = kept.sqrt() * batch.target + (1 - kept).sqrt() * batch.noisy
    torch.testing.assert_close(scheduler.add_noise(clean, noise, batch.times_N), batch.noisy)
    snr = (kept / (1 - kept)).flatten()
    expected = snr.clamp(max=5) / (snr if kind == "epsilon" else snr + 1)
    torch.testing.assert_close(batch.weights_N, expected)
    with pytest.raises(ConfigError, match="prediction_type 'sample'"):
        NoiseSchedule(diffusers.DDIMScheduler(prediction_type="sample"))


def test_a_unet_without_a_vae_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="holds no VAE"):
        fit(PocketSdUnet(draws=8), RECIPE, Root.from_url(str(tmp_path / "u")), out=tmp_path)
    with pytest.raises(ConfigError, match="2 pictures are too few for batches of 4"):
        fit(PocketPictureVae(draws=2), RECIPE, Root.from_url(str(tmp_path / "v")), out=tmp_path)
