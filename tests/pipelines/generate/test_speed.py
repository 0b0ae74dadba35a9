"""How fast sounds are made, against diffusers' own loop over single prompts. Only measured."""

import resource
import time
import warnings

import numpy as np
import pytest

from pipelines.encode.loaders.pocket import WEIGHTS
from pipelines.generate.audioldm.params import AudioLdmParams
from pipelines.generate.audioldm.spec import choose_audioldm
from pipelines.miniature import captions, world

pytestmark = pytest.mark.bench

SOUNDS = 32
SETTINGS = AudioLdmParams(length_s=5.0, steps=25)


def seconds_a_second(make):
    """Return how many seconds of sound are made in a second; the first call is not counted."""
    make(1)
    began = time.monotonic()
    make(SOUNDS)
    return SOUNDS * SETTINGS.length_s / (time.monotonic() - began)


def plain_loop():
    """Return diffusers' pipeline, asked for one sound after the other."""
    import torch
    from diffusers import AudioLDMPipeline

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pipeline = AudioLDMPipeline.from_pretrained(WEIGHTS / "audioldm", torch_dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)

    def make(count):
        for number in range(count):
            pipeline(
                captions.label(world.KINDS[number % len(world.KINDS)]),
                audio_length_in_s=SETTINGS.length_s,
                num_inference_steps=SETTINGS.steps,
                generator=[torch.Generator().manual_seed(number)],
            )

    return make


def ours(batch_rows):
    """Return our generator, asked for all sounds at once."""
    generator = choose_audioldm(batch_rows=batch_rows).open()
    texts = [captions.label(world.KINDS[number % len(world.KINDS)]) for number in range(SOUNDS)]
    vectors_ND = generator.encode_text(texts)

    def make(count):
        generator.generate_waves(vectors_ND[:count], range(count), SETTINGS)

    return make


def test_throughput_against_a_plain_loop():
    """Seconds of sound a second, by batch; and the memory of the process."""
    import torch

    torch.set_num_threads(2)
    plain = seconds_a_second(plain_loop())
    by_batch = {rows: seconds_a_second(ours(rows)) for rows in (1, 4, 8, 16)}
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    print(f"\ndiffusers, one by one: {plain:.1f} s of sound a second")
    for rows, speed in by_batch.items():
        print(f"batches of {rows}: {speed:.1f} s of sound a second, {speed / plain:.2f} times as many")
    print(f"peak memory {peak_mb:.0f} MB")
    assert np.isfinite(plain)
