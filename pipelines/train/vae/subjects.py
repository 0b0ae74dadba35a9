"""The square of a picture that differs most from its ground: a thing that is large and in the middle.

A latent of a whole picture spends itself on where things are. This is for pictures what the onset of the
loudest event is for sounds.

Shapes: N pictures, S pixels of a side.
"""

from __future__ import annotations

import numpy as np

# Of the three colours together: what is louder than this counts no more, or a single white spot would decide.
_MOST = 150.0


def crop_subjects(pixels: np.ndarray, side: int) -> np.ndarray:
    """Return the square of each picture that its subject fills, uint8 `[N, side, side, 3]`.

    Args:
        pixels: uint8 `[N, S, S, 3]`.
        side: of the squares, at most S.
    """
    return np.stack([_crop(each, side) for each in pixels])


def _crop(pixels: np.ndarray, side: int) -> np.ndarray:
    if side == len(pixels):
        return pixels
    # A ground changes from row to row, as sky and meadow do, and little along one.
    ground = np.median(pixels, axis=1, keepdims=True)
    differences = np.abs(pixels - ground).sum(2).clip(max=_MOST)
    sums = np.pad(differences.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    found = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    top, left = np.unravel_index(found.argmax(), found.shape)
    return pixels[top : top + side, left : left + side]
