"""Pictures as a VAE takes them, and the latents that a diffusion model is trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from torch import Tensor

_CHUNK = 64  # pictures that are encoded at once


def scale_pixels(pixels: np.ndarray) -> Tensor:
    """Return pictures of uint8 `[N, H, W, 3]` as floats in -1..1, `[N, 3, H, W]`."""
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1


def reduce_pixels(pixels: Tensor, side_px: int) -> Tensor:
    """Return pictures at a smaller side, `[N, 3, S, S]`: the mean of each square."""
    from torch.nn.functional import adaptive_avg_pool2d

    return adaptive_avg_pool2d(pixels, side_px)


def encode_pictures(vae: Any, pixels: np.ndarray) -> np.ndarray:
    """Return the scaled latents of pictures, float16 `[N, C, H / 8, W / 8]`.

    Args:
        vae: trained.
        pixels: uint8 `[N, H, W, 3]`.
    """
    found = []
    with torch.inference_mode():
        for start in range(0, len(pixels), _CHUNK):
            scaled = scale_pixels(pixels[start : start + _CHUNK]).to(vae.device, vae.dtype)
            mean = vae.encode(scaled).latent_dist.mean
            found.append((vae.config.scaling_factor * mean).float().cpu().half().numpy())
    return np.concatenate(found)
