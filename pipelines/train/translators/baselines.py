"""What every translator is measured beside: closed forms, and vectors that know nothing.

Shapes: N pairs, I dimensions of the source, O of the target.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from pipelines.models.translators import Affine
from pipelines.train.translators.pairs import TRAIN, VALIDATION, PairTable

_CHUNK = 16_384
# Ridge's weight, as a share of the mean eigenvalue of the sources' second moments; validation chooses.
_RIDGES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)


class Moments:
    """Sums over the training pairs from which every closed form is solved; the pairs are read once."""

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
        """Return the second moments about the means."""
        x, y = self.means
        return self.xx - self.count * np.outer(x, x), self.xy - self.count * np.outer(x, y)


def solve(name: str, table: PairTable, moments: Moments) -> Affine:
    """Return a baseline: `random`, `mean`, `identity`, `mean_shift`, `procrustes` or `ridge`."""
    return _SOLVED[name](table, moments)


def _affine(weight: np.ndarray, bias: np.ndarray) -> Affine:
    made = Affine(*weight.shape)
    with torch.no_grad():
        made.weight.copy_(torch.from_numpy(weight))
        made.bias.copy_(torch.from_numpy(bias))
    return made.eval()


def _random(table: PairTable, _: Moments) -> Affine:
    """A fixed random map: what a translator in another basis would score."""
    shape = (table.source_NI.shape[1], table.target_NO.shape[1])
    return _affine(np.random.default_rng(0).standard_normal(shape), np.zeros(shape[1]))


def _mean(table: PairTable, moments: Moments) -> Affine:
    """The mean target, whatever is asked."""
    return _affine(np.zeros((table.source_NI.shape[1], table.target_NO.shape[1])), moments.means[1])


def _identity(table: PairTable, _: Moments) -> Affine:
    """The source itself, cut or filled up with zeros to the target's dimensions."""
    shape = (table.source_NI.shape[1], table.target_NO.shape[1])
    return _affine(np.eye(*shape), np.zeros(shape[1]))


def _mean_shift(table: PairTable, moments: Moments) -> Affine:
    """The source, moved by the difference of the means: what closing the modality gap alone is worth."""
    shape = (table.source_NI.shape[1], table.target_NO.shape[1])
    x, y = moments.means
    return _affine(np.eye(*shape), y - x @ np.eye(*shape))


def _procrustes(_table: PairTable, moments: Moments) -> Affine:
    """The best rotation after centring (Schoenemann 1966): angles within a modality are kept."""
    x, y = moments.means
    xy = moments.compute_centred_moments()[1]
    left, _, right = np.linalg.svd(xy, full_matrices=False)
    rotation = left @ right
    return _affine(rotation, y - x @ rotation)


def _ridge(table: PairTable, moments: Moments) -> Affine:
    """Least squares with a penalty that the validation pairs choose."""
    x, y = moments.means
    xx, xy = moments.compute_centred_moments()
    source_NI, target_NO = (
        torch.from_numpy(side) for side in table.get_pairs(table.find_rows(VALIDATION)[:10_000])
    )
    best: tuple[float, Affine] | None = None
    for share in _RIDGES:
        penalty = share * np.trace(xx) / len(xx)
        weight = np.linalg.solve(xx + penalty * np.eye(len(xx)), xy)
        made = _affine(weight, y - x @ weight)
        with torch.inference_mode():
            found = float((made(source_NI)[0] * target_NO).sum(-1).mean())
        if best is None or found > best[0]:
            best = (found, made)
    assert best is not None
    return best[1]


_SOLVED: dict[str, Callable[[PairTable, Moments], Affine]] = {
    "random": _random,
    "mean": _mean,
    "identity": _identity,
    "mean_shift": _mean_shift,
    "procrustes": _procrustes,
    "ridge": _ridge,
}
BASELINES = tuple(_SOLVED)
