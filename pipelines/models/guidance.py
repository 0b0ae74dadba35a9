"""What a guided diffusion is led by: cutouts of a picture, distances of vectors, and terms of the pixels.

Losses and constants are those of K. Crowson's notebooks of CLIP-guided diffusion (2021).

Shapes: N pictures, K cutouts of each, D dimensions, S the side of the guide's pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn.functional import adaptive_avg_pool2d, interpolate

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class CutoutSettings:
    """How cutouts are drawn.

    Attributes:
        count: of each picture.
        least: the smallest side, as a share of the picture's: at 1 all are the whole picture.
        power: of a number in 0..1 that sides are drawn by: above 1 they are small more often.
    """

    count: int
    least: float
    power: float


def draw_cutouts(
    pixels: Tensor, side: int, settings: CutoutSettings, generators: Sequence[torch.Generator]
) -> Tensor:
    """Return cutouts of pictures at the side of a guide, `[N * K, C, S, S]`, those of a picture in a row.

    Args:
        pixels: `[N, C, H, W]`.
        side: S.
        settings: of the cutouts.
        generators: one a picture, on the CPU: a picture's cutouts do not depend on its batch.
    """
    height, width = pixels.shape[2:]
    most = min(height, width)
    least = max(1, round(settings.least * most))
    found = []
    for picture, generator in zip(pixels, generators, strict=True):
        for size, top, left in torch.rand(settings.count, 3, generator=generator).tolist():
            own = round(size**settings.power * (most - least) + least)
            row, column = int(top * (height - own + 1)), int(left * (width - own + 1))
            found.append(_resize(picture[None, :, row : row + own, column : column + own], side))
    return torch.cat(found)


def _resize(pixels: Tensor, side: int) -> Tensor:
    if pixels.shape[-1] >= side:
        return adaptive_avg_pool2d(pixels, side)
    return interpolate(pixels, size=(side, side), mode="bilinear", align_corners=False)


def compute_spherical_distance(own: Tensor, other: Tensor) -> Tensor:
    """Return half the squared angle between unit vectors, over the last dimension: 0 to pi ** 2 / 2.

    The notebooks' `2 * arcsin(|x - y| / 2) ** 2`.
    """
    half: Tensor = (own - other).norm(dim=-1).div(2).clamp(max=1 - 1e-6)
    return half.arcsin().square().mul(2)


def compute_total_variation(pixels: Tensor) -> Tensor:
    """Return the mean squared difference of neighbouring pixels, `[N]`."""
    right = (pixels[..., :-1, 1:] - pixels[..., :-1, :-1]).square()
    below = (pixels[..., 1:, :-1] - pixels[..., :-1, :-1]).square()
    return (right + below).flatten(1).mean(1)


def compute_range_loss(pixels: Tensor) -> Tensor:
    """Return the mean squared distance of pixels from -1..1, `[N]`."""
    return (pixels - pixels.clamp(-1, 1)).square().flatten(1).mean(1)


def compute_blur_loss(pixels: Tensor, other: Tensor, cells: int = 8) -> Tensor:
    """Return the mean squared difference of pictures at `cells` x `cells` pixels, `[N]`.

    In place of a perceptual distance, whose net does not ship: what is where, in which colour.
    """
    small, large = (adaptive_avg_pool2d(each, cells) for each in (pixels, other))
    return (small - large).square().flatten(1).mean(1)
