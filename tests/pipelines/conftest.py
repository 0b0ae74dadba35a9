"""Encoders of random weights, saved and loaded by the real libraries; and media for them."""

import io

import numpy as np
import pytest
import soundfile
from PIL import Image

from tests.pipelines.random_diffusion import save_base
from tests.pipelines.random_weights import save_clap, save_clip


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


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory, one_thread):
    """The folder of a random Stable Diffusion of 64 px that reads pocket CLIP's words. Only to be read."""
    return save_base(tmp_path_factory.mktemp("weights") / "tiny-base")
