"""How fast pictures are made, against diffusers' own loops. Only measured."""

import resource
import time
import warnings

import numpy as np
import pytest
import torch

from pipelines.encode.loaders.pocket import WEIGHTS
from pipelines.generate.generator import CAPTION
from pipelines.generate.stable_diffusion.generator import SOUND
from pipelines.generate.stable_diffusion.params import SoundPictureParams, StableDiffusionParams
from pipelines.generate.stable_diffusion.spec import (
    POCKET_ADAPTER,
    choose_clap2diffusion,
    choose_stable_diffusion,
)
from pipelines.miniature import captions, world
from pipelines.models.adapter_files import load_adapter, read_adapter_card
from pipelines.models.audio_adapter import make_image_embeds
from tests.pipelines.random_diffusion import load_into

pytestmark = pytest.mark.bench

PICTURES, STEPS, GUIDANCE = 32, 25, 5.0
TEXTS = [captions.label(world.KINDS[number % len(world.KINDS)]) for number in range(PICTURES)]


def measure_rates(loops, rounds=2):
    """Return pictures a second of each loop: the best of rounds in turns, first calls left out."""
    rates = dict.fromkeys(loops, 0.0)
    for make in loops.values():
        make(1)
    for _ in range(rounds):
        for name, make in loops.items():
            began = time.monotonic()
            make(PICTURES)
            rates[name] = max(rates[name], PICTURES / (time.monotonic() - began))
    return rates


def show(rates, plain):
    """Print rates, and how many times as many they are as those of a stock loop."""
    print()
    for name, rate in rates.items():
        print(f"{name}: {rate:.2f} pictures a second, {rate / rates[plain]:.2f} times as many")
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")
    assert all(np.isfinite(rate) for rate in rates.values())


def load_stock():
    """Return diffusers' own pipeline of the pocket base."""
    from diffusers import StableDiffusionPipeline

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pipeline = StableDiffusionPipeline.from_pretrained(
            WEIGHTS / "stable_diffusion", torch_dtype=torch.float32
        )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def loop_stock(pipeline, rows):
    """Return a loop that asks diffusers for so many pictures at once."""

    def make(count):
        for first in range(0, count, rows):
            run_stock(pipeline, range(first, min(first + rows, count)))

    return make


def run_stock(pipeline, seeds, **given):
    """Ask diffusers for a picture of each seed at once."""
    pipeline(
        [TEXTS[seed] for seed in seeds],
        num_inference_steps=STEPS,
        guidance_scale=GUIDANCE,
        generator=[torch.Generator().manual_seed(seed) for seed in seeds],
        **given,
    )


def loop_ours(generator, params, vectors_ND=None):
    """Return a loop that asks a generator of ours for all pictures at once."""

    def make(count):
        sounds = {} if vectors_ND is None else {SOUND: vectors_ND[:count]}
        generator.generate({CAPTION: TEXTS[:count]} | sounds, range(count), params)

    return make


def make_vectors():
    """Return vectors of no sound in particular: their number alone matters here."""
    dims = read_adapter_card(POCKET_ADAPTER).shape.sound_dims
    return np.random.default_rng(0).standard_normal((PICTURES, dims)).astype(np.float32)


def loop_stock_with_sounds(adapter, vectors_ND):
    """Return a loop over single pictures: a stock pipeline mixes the sounds of a batch."""
    pipeline = load_stock()
    load_into(pipeline, POCKET_ADAPTER, ("adapter",))

    def make(count):
        for seed in range(count):
            with torch.inference_mode():
                embeds = make_image_embeds(adapter, torch.from_numpy(vectors_ND[seed]))
            run_stock(pipeline, [seed], ip_adapter_image_embeds=embeds)

    return make


def test_words_against_a_stock_loop():
    """By batch, each beside diffusers' own at the same batch."""
    torch.set_num_threads(2)
    stock, params = load_stock(), StableDiffusionParams(steps=STEPS, guidance=GUIDANCE)
    loops = {f"diffusers, {rows} at once": loop_stock(stock, rows) for rows in (1, 8)}
    for rows in (1, 8, 16):
        generator = choose_stable_diffusion(batch_rows=rows).open()
        loops[f"ours, {rows} at once"] = loop_ours(generator, params)
    show(measure_rates(loops), "diffusers, 1 at once")


def test_sounds_and_words_against_a_stock_loop():
    """One by one, because a stock pipeline mixes the sounds of a batch."""
    torch.set_num_threads(2)
    params, vectors_ND = SoundPictureParams(steps=STEPS, guidance=GUIDANCE), make_vectors()
    adapter = load_adapter(POCKET_ADAPTER)[0].float().eval()
    loops = {"diffusers, 1 at once": loop_stock_with_sounds(adapter, vectors_ND)}
    for rows in (1, 8):
        generator = choose_clap2diffusion(batch_rows=rows).open()
        loops[f"ours, {rows} at once"] = loop_ours(generator, params, vectors_ND)
    show(measure_rates(loops), "diffusers, 1 at once")
