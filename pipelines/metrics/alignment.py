"""How well generated items go with their prompts, item by item: cosines, and the rank and z forms of them.

AIS (audio-image similarity) compares a picture with the sound that it was made of, IIS (image-image
similarity) with the true picture of that sound; three published scores share these names, and two of them are
here. All functions return a value an item, for `bootstrap.mean`.

Shapes: N generated items, M others, D dimensions; vectors are of one space and of length 1.
"""

from __future__ import annotations

import numpy as np


def cosine_of_pairs(one_ND: np.ndarray, other_ND: np.ndarray) -> np.ndarray:
    """Return the cosine of every pair [N]: the pair cosine, the CLAP or CLIP score, or that of a cycle.

    Args:
        one_ND: of any length; NaN rows give NaN.
        other_ND: of any length.
    """
    one, other = one_ND.astype(np.float64), other_ND.astype(np.float64)
    lengths_N = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((one * other).sum(1) / lengths_N)


def rank_form(
    generated_ND: np.ndarray,
    paired_ND: np.ndarray,
    others_MD: np.ndarray,
    groups_N: np.ndarray | None = None,
    groups_M: np.ndarray | None = None,
) -> np.ndarray:
    """Return the share of others that an item is farther from than from its own pair [N]; chance is 0.5.

    As in SonicDiffusion's evaluation, but that others of the item's own group are left out; ties count 0.

    Args:
        generated_ND: the items.
        paired_ND: of each: its sound for AIS, its true picture for IIS.
        others_MD: random items of what `paired_ND` is.
        groups_N: of the items.
        groups_M: of the others; nothing is left out if None.
    """
    own_N = (generated_ND * paired_ND).sum(1)
    nearer_NM = own_N[:, None] > generated_ND @ others_MD.T
    apart_NM = _differ(groups_N, groups_M, nearer_NM.shape)
    counts_N = apart_NM.sum(1)
    shares_N = (nearer_NM & apart_NM).sum(1) / np.maximum(counts_N, 1)
    return np.where((counts_N > 0) & np.isfinite(own_N), shares_N, np.nan)


def z_form(generated_ND: np.ndarray, paired_ND: np.ndarray, groups_N: np.ndarray | None = None) -> np.ndarray:
    """Return how many deviations an item is nearer to its pair than the other generated items are [N].

    As in MACS: for one sound, all generated pictures are compared, where the rank form compares all sounds
    with one picture.

    Args:
        generated_ND: the items.
        paired_ND: of each.
        groups_N: of the items; those of one group are not compared. Every item is its own if None.
    """
    count = len(generated_ND)
    cosines_NN = paired_ND.astype(np.float64) @ generated_ND.astype(np.float64).T
    groups_N = np.arange(count) if groups_N is None else groups_N
    others_NN = _differ(groups_N, groups_N, cosines_NN.shape) & np.isfinite(cosines_NN)
    counts_N = others_NN.sum(1)
    known_NN = np.where(others_NN, cosines_NN, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        means_N = known_NN.sum(1) / counts_N
        spread_N = np.sqrt(np.where(others_NN, (cosines_NN - means_N[:, None]) ** 2, 0.0).sum(1) / counts_N)
        return np.where(counts_N > 1, (np.diagonal(cosines_NN) - means_N) / spread_N, np.nan)


def _differ(one_N: np.ndarray | None, other_M: np.ndarray | None, shape: tuple[int, ...]) -> np.ndarray:
    if one_N is None or other_M is None:
        return np.ones(shape, bool)
    return np.asarray(np.asarray(one_N)[:, None] != np.asarray(other_M)[None])
