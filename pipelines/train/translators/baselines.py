"""Baselines for every translator: closed-form maps, and maps that ignore the data.

Shapes: N pairs, I dimensions of the source, O of the target.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import torch

from pipelines.models.translators import Affine
from pipelines.store.splits import TRAIN, VALIDATION
from pipelines.train.translators.pairs import VALIDATION_ROWS, PairTable

_CHUNK = 16_384
# Ridge penalties, as shares of the mean eigenvalue of the sources' second moments; validation chooses one.
_RIDGES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
# Scales of the rotation, as multiples of the one with the least squares: a cosine may want another.
_SCALES = (0.25, 0.5, 1.0, 2.0, 4.0)


class Moments:
    """First and second moments of the training pairs, for all closed forms; the pairs are read once."""

    def __init__(self, table: PairTable) -> None:
        rows = table.find_rows(TRAIN)
        inner, outer = table.source_NI.shape[1], table.target_NO.shape[1]
        self.count = len(rows)
        self.xx, self.xy = np.zeros((inner, inner)), np.zeros((inner, outer))
        self.x, self.y = np.zeros(inner), np.zeros(outer)
        for start in range(0, len(rows), _CHUNK):
            source_NI, target_NO = table.get_pairs(rows[start : start + _CHUNK])
            source_NI /= np.linalg.norm(source_NI, axis=1, keepdims=True)
            self.xx += source_NI.T @ source_NI
            self.xy += source_NI.T @ target_NO
            self.x += source_NI.sum(0, dtype=np.float64)
            self.y += target_NO.sum(0, dtype=np.float64)

    @property
    def means(self) -> tuple[np.ndarray, np.ndarray]:
        """The mean source and the mean target."""
        return self.x / self.count, self.y / self.count

    def compute_centred_moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the second moments about the means: source with source, and source with target."""
        x, y = self.means
        return self.xx - self.count * np.outer(x, x), self.xy - self.count * np.outer(x, y)


def solve(name: str, table: PairTable, moments: Moments) -> Affine:
    """Return a baseline: `random`, `mean`, `identity`, `mean_shift`, `procrustes` or `ridge`."""
    return _SOLVERS[name](table, moments)


def _make_affine(weight: np.ndarray, bias: np.ndarray) -> Affine:
    net = Affine(*weight.shape)
    with torch.no_grad():
        net.weight.copy_(torch.from_numpy(weight))
        net.bias.copy_(torch.from_numpy(bias))
    return net.eval()


def _solve_random(table: PairTable, _: Moments) -> Affine:
    """Return a fixed random map: the score of a translator in another basis."""
    shape = (table.source_NI.shape[1], table.target_NO.shape[1])
    return _make_affine(np.random.default_rng(0).standard_normal(shape), np.zeros(shape[1]))


def _solve_mean(table: PairTable, moments: Moments) -> Affine:
    """Return a constant map to the mean target."""
    return _make_affine(np.zeros((table.source_NI.shape[1], table.target_NO.shape[1])), moments.means[1])


def _solve_identity(table: PairTable, _: Moments) -> Affine:
    """Return the identity; the source is truncated or zero-padded to the target's dimensions."""
    shape = (table.source_NI.shape[1], table.target_NO.shape[1])
    return _make_affine(np.eye(*shape), np.zeros(shape[1]))


def _solve_mean_shift(table: PairTable, moments: Moments) -> Affine:
    """Return the source moved by the difference of the means, which closes the modality gap and no more."""
    shape = (table.source_NI.shape[1], table.target_NO.shape[1])
    x, y = moments.means
    return _make_affine(np.eye(*shape), y - x @ np.eye(*shape))


def _solve_procrustes(table: PairTable, moments: Moments) -> Affine:
    """Return the best rotation and scale after centring (Schoenemann and Carroll 1970).

    It keeps angles within a modality. What it turns is added to the mean target, so its scale decides how
    much a source counts beside that.
    """
    x, y = moments.means
    xx, xy = moments.compute_centred_moments()
    left, strengths, right = np.linalg.svd(xy, full_matrices=False)
    rotation = left @ right * (strengths.sum() / np.trace(xx))
    return _choose_best(table, (_make_affine(s * rotation, y - x @ (s * rotation)) for s in _SCALES))


def _solve_ridge(table: PairTable, moments: Moments) -> Affine:
    """Return ridge regression with the penalty that scores best on the validation pairs."""
    x, y = moments.means
    xx, xy = moments.compute_centred_moments()
    penalties = (share * np.trace(xx) / len(xx) for share in _RIDGES)
    weights = (np.linalg.solve(xx + penalty * np.eye(len(xx)), xy) for penalty in penalties)
    return _choose_best(table, (_make_affine(weight, y - x @ weight) for weight in weights))


def _choose_best(table: PairTable, nets: Iterable[Affine]) -> Affine:
    """Return the net of the highest mean cosine over the validation pairs, of equals the first."""
    source_NI, target_NO = (
        torch.from_numpy(side) for side in table.get_pairs(table.sample_rows(VALIDATION, VALIDATION_ROWS))
    )
    with torch.inference_mode():
        return max(nets, key=lambda net: float((net(source_NI)[0] * target_NO).sum(-1).mean()))


_SOLVERS: dict[str, Callable[[PairTable, Moments], Affine]] = {
    "random": _solve_random,
    "mean": _solve_mean,
    "identity": _solve_identity,
    "mean_shift": _solve_mean_shift,
    "procrustes": _solve_procrustes,
    "ridge": _solve_ridge,
}
BASELINES = tuple(_SOLVERS)
