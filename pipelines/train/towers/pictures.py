"""A picture under training: a part of it, perhaps mirrored, in other colours, drawn anew every epoch."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from pipelines.decode.pixels import open_picture
from pipelines.decode.tower_input import Box, find_box, resize_picture
from schemas.towers import PictureAugmentation, PictureInput

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

# The part's width over its height lies between 3/4 and 4/3, as in Szegedy et al. 2014 (arXiv 1409.4842).
_ASPECT = 4 / 3
_GREY = np.array([0.299, 0.587, 0.114], np.float32)


def draw_picture(
    data: bytes, settings: PictureInput, augmentation: PictureAugmentation, rng: np.random.Generator
) -> np.ndarray:
    """Return a part of a picture, uint8 [H, W, 3].

    Args:
        data: the file.
        settings: of the tower.
        augmentation: what is drawn.
        rng: of this picture in this epoch.

    Raises:
        UndecodableMediaError: it cannot be decoded.
    """
    # A JPEG may come smaller, as long as the smallest part still has the pixels of the square.
    draft_px = math.ceil(settings.size_px / math.sqrt(augmentation.crop))
    return augment_picture(open_picture(data, draft_px=draft_px), settings, augmentation, rng)


def augment_picture(
    picture: Image.Image, settings: PictureInput, augmentation: PictureAugmentation, rng: np.random.Generator
) -> np.ndarray:
    """Return a part of a decoded picture as `draw_picture` does, uint8 [H, W, 3]."""
    box = _draw_box(picture, settings, augmentation.crop, rng)
    pixels = resize_picture(picture, settings.size_px, box)
    if augmentation.flip and rng.random() < 0.5:
        pixels = pixels[:, ::-1]
    return _change_colours(pixels, augmentation.colour, rng)


def _draw_box(picture: Image.Image, settings: PictureInput, least: float, rng: np.random.Generator) -> Box:
    left, top, right, bottom = find_box(picture, settings)
    if least == 1:
        return left, top, right, bottom
    width, height = right - left, bottom - top
    area = width * height * rng.uniform(least, 1)
    aspect = math.exp(rng.uniform(-math.log(_ASPECT), math.log(_ASPECT))) * width / height
    own_width = min(width, math.sqrt(area * aspect))
    own_height = min(height, math.sqrt(area / aspect))
    x, y = left + rng.random() * (width - own_width), top + rng.random() * (height - own_height)
    return x, y, x + own_width, y + own_height


def _change_colours(pixels_HW3: np.ndarray, most: float, rng: np.random.Generator) -> np.ndarray:
    if not most:
        return pixels_HW3
    brightness, contrast, saturation = rng.uniform(1 - most, 1 + most, 3).astype(np.float32)
    bright = pixels_HW3.astype(np.float32) * brightness
    bright = (bright - bright.mean()) * contrast + bright.mean()
    grey = (bright @ _GREY)[..., None]
    changed = grey + (bright - grey) * saturation
    clipped: np.ndarray = np.clip(changed, 0, 255).astype(np.uint8)
    return clipped


def normalize_pixels(pixels_NHW3: Tensor, settings: PictureInput) -> Tensor:
    """Return pictures as a tower takes them, float32 [N, 3, H, W].

    Args:
        pixels_NHW3: uint8.
        settings: of the tower.
    """
    import torch

    device = pixels_NHW3.device
    mean, std = (torch.tensor(each, device=device)[:, None, None] for each in (settings.mean, settings.std))
    # In bf16 on a core 364 pictures a CPU second, forward and backward, and 192 with colours last in memory.
    pixels = pixels_NHW3.permute(0, 3, 1, 2).contiguous()
    normal: Tensor = (pixels.float() / 255 - mean) / std
    return normal
