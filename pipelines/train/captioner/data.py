"""What a captioner is trained on: vectors of a family, and what is said of each.

Shapes: N vectors of D dimensions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from schemas.families import Family
from schemas.space import Space


@dataclass(frozen=True, eq=False)
class CaptionedVectors:
    """Vectors and their captions.

    Attributes:
        family: of the vectors.
        space: of them.
        is_text: whether they are of the captions themselves, and not of media.
        units_ND: unit vectors, float16.
        captions: of each vector; one is drawn each time.
        train_N: the places of the vectors to train on.
        held_N: those to validate on.
    """

    family: Family
    space: Space
    is_text: bool
    units_ND: np.ndarray
    captions: Sequence[Sequence[str]]
    train_N: np.ndarray
    held_N: np.ndarray


def add_noise(units_ND: np.ndarray, deviation: float, rng: np.random.Generator) -> np.ndarray:
    """Return unit vectors moved by a noise, float32.

    A vector of a text lies apart from those of what it tells of, and a net that was trained on texts alone
    reads media only if it does not depend on where exactly a vector lies (CapDec, arXiv 2211.00575).

    Args:
        units_ND: of a batch.
        deviation: of the noise on each number; 0 changes nothing.
        rng: of the step.
    """
    moved_ND = units_ND.astype(np.float32)
    if deviation:
        moved_ND += deviation * rng.standard_normal(moved_ND.shape, dtype=np.float32)
        moved_ND /= np.linalg.norm(moved_ND, axis=1, keepdims=True)
    return moved_ND
