"""Pictures and sounds as the towers of `models.towers` take them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL import Image

    from schemas.towers import PictureInput

# Left, top, right and bottom of a part of a picture, in pixels.
Box = tuple[float, float, float, float]


def prepare_picture(picture: Image.Image, settings: PictureInput) -> np.ndarray:
    """Return a picture for a tower, float32 [3, H, W].

    Args:
        picture: decoded.
        settings: of the tower.
    """
    pixels_HW3 = resize_picture(picture, settings.size_px, find_box(picture, settings))
    mean, std = (np.array(each, np.float32) for each in (settings.mean, settings.std))
    normal_HW3 = (pixels_HW3.astype(np.float32) / 255 - mean) / std
    return np.ascontiguousarray(normal_HW3.transpose(2, 0, 1))


def find_box(picture: Image.Image, settings: PictureInput) -> Box:
    """Return the part of a picture that a tower sees: all of it, or the square in its middle."""
    width, height = picture.size
    if settings.resize == "squash":
        return 0, 0, width, height
    side = min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    return left, top, left + side, top + side


def resize_picture(picture: Image.Image, size_px: int, box: Box) -> np.ndarray:
    """Return a part of a picture as a square, uint8 [H, W, 3].

    Args:
        picture: decoded.
        size_px: of the square.
        box: the part.
    """
    from PIL import Image

    small = picture.convert("RGB").resize((size_px, size_px), Image.Resampling.BICUBIC, box)
    return np.asarray(small)


def cut_wave(samples_T: np.ndarray, count: int, place: float = 0.5) -> np.ndarray:
    """Return a part of a wave as a tower takes it, float32 [count], its peak at 1; silence stays silent.

    Args:
        samples_T: of the whole sound; a shorter one has zeros around it.
        count: of samples.
        place: of the part, from 0 at the begin to 1 at the end.
    """
    if (short := count - len(samples_T)) > 0:
        samples_T = np.pad(samples_T, (short // 2, short - short // 2))
    start = round((len(samples_T) - count) * place)
    part_T = samples_T[start : start + count]
    peak = float(np.abs(part_T).max(initial=0))
    return part_T / np.float32(peak) if peak else part_T
