"""Scores the pocket joint VAE by what the picture judges see in the pictures that sounds lead to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from pipelines.generate.vae.picture_spec import SOUND, VaePictureParams, VaePictureSpec
from pipelines.models.joint_vae import load_joint_vae
from pipelines.train.latents import scale_pixels
from pipelines.train.pocket.stable_diffusion_eval import (
    draw_pictures,
    draw_scenes,
    encode_sounds,
    score_pictures,
)


def evaluate(weights: Path, seed: int, rows: int) -> dict[str, float]:
    """Return how often each picture judge finds the right kind, ground, size, count and colour.

    Args:
        weights: the folder of the joint VAE.
        seed: of the held-out scenes.
        rows: pictures, 240 at most.

    Returns:
        `real`: of the pictures themselves, at the VAE's size;
        `decoded`: of them through the latent;
        `sound`: of pictures that sounds lead to;
        `mean`: of the mean picture of each sound;
        `shuffled`: of pictures of another scene's sound: the chance level.
    """
    net, card = load_joint_vae(weights)
    generator = VaePictureSpec(str(weights)).open()
    scenes = draw_scenes(seed, rows)
    side = card.net.side_px
    real = resize_pictures(draw_pictures(scenes), side)
    with torch.inference_mode():
        decoded = net.decode_picture(net.encode_picture(scale_pixels(real)).mean)
    units_NV = encode_sounds(scenes)

    def make(vectors_NV: np.ndarray, temperature: float) -> np.ndarray:
        params = VaePictureParams(temperature=temperature)
        return np.asarray(generator.generate({SOUND: vectors_NV}, range(len(scenes)), params).data)

    usual = VaePictureParams().temperature
    pixels = ((decoded.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    made = {
        "real": real,
        "decoded": pixels.permute(0, 2, 3, 1).numpy(),
        "sound": make(units_NV, usual),
        "mean": make(units_NV, 0.0),
        "shuffled": make(np.roll(units_NV, 1, axis=0), usual),
    }
    return score_pictures(made, scenes)


def resize_pictures(pictures: np.ndarray, side: int) -> np.ndarray:
    """Return pictures of another side, uint8 [N, side, side, 3]."""
    from PIL import Image

    size = (side, side)
    images = [Image.fromarray(each).resize(size, Image.Resampling.BICUBIC) for each in pictures]
    return np.stack([np.asarray(each) for each in images])
