"""The pocket pixel diffusion: trained for two steps, it is a pipeline of diffusers with a measured guide."""

import numpy as np
import torch
from diffusers import DDPMPipeline

from pipelines.generate.guided.files import list_files, read_guidance
from pipelines.store.root import Root
from pipelines.train.latents import reduce_pixels
from pipelines.train.pocket.guided_eval import generate_pictures
from pipelines.train.pocket.pixel_diffusion import PocketPixelDiffusion
from pipelines.train.trainer import fit
from schemas.recipe import OptimizerSettings, Recipe


def test_two_steps_leave_a_pipeline_that_a_guide_leads(tmp_path):
    made = tmp_path / "made"
    made.mkdir()
    recipe = Recipe(steps=2, batch=4, optimizer=OptimizerSettings(lr=1e-3))
    task = PocketPixelDiffusion(draws=8, block=8)
    (card,) = fit(task, recipe, Root.from_url(str(tmp_path / "run")), name="tiny", out=made, caches=tmp_path)
    guidance = read_guidance(made / "tiny")
    pipeline = DDPMPipeline.from_pretrained(made / "tiny")

    assert np.isfinite(card.loss)
    assert sum(file.stat().st_size for file in list_files(made / "tiny")) < 2_500_000
    assert pipeline.unet.config.out_channels == 6
    assert {"text", "sound", "image"} == {*guidance.ranges}
    assert all(each.width > 0.3 for each in guidance.ranges.values())
    target = np.eye(1, 512, dtype=np.float32)
    settings = {"respacing": "2", "cutouts": 2}
    led = generate_pictures(made / "tiny", {"text": (target, 0.5), "sound": (target, 0.5)}, 1, settings)
    assert led.shape == (1, 32, 32, 3)


def test_pictures_become_the_mean_of_their_squares():
    pixels = torch.rand(2, 3, 64, 64)
    small = reduce_pixels(pixels, 32)

    torch.testing.assert_close(small[:, :, 0, 0], pixels[:, :, :2, :2].mean((2, 3)))
    assert small.shape == (2, 3, 32, 32)
