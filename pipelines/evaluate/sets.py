"""Compares two sets of samples by what a judge found in them.

Shapes: N generated and M real samples, D dimensions, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import ConfigError
from pipelines.metrics import bootstrap
from pipelines.metrics.coverage import NEAREST, density_and_coverage
from pipelines.metrics.frechet import frechet, frechet_infinity, is_too_few
from pipelines.metrics.kernel_distance import kad, kid
from pipelines.metrics.probabilities import count_splits, inception_score, kl, sigmoid, softmax
from schemas.generated import FrechetDistance, SetScores
from schemas.media import Medium


def compare_sets(  # noqa: PLR0913
    generated_ND: NDArray[np.float32],
    real_MD: NDArray[np.float32],
    *,
    logits: tuple[NDArray[np.float32], NDArray[np.float32]] | None,
    pairs: Sequence[tuple[int, int]],
    medium: Medium,
    seed: int = 0,
) -> SetScores:
    """Return the scores of generated samples against real ones.

    Args:
        generated_ND: vectors of a judge.
        real_MD: of the same judge.
        logits: of its classes, of generated and real samples; None if it has none.
        pairs: rows of a generated and of the real sample of the same row of a dataset.
        medium: of all of them.
        seed: of the bootstrap.

    Raises:
        ConfigError: there are fewer than two samples of either kind.
    """
    made, real = len(generated_ND), len(real_MD)
    if min(made, real) < 2:
        raise ConfigError(
            f"{made} generated and {real} real samples have no spread to compare; give two of each or more"
        )
    density, coverage = density_and_coverage(generated_ND, real_MD) if real > NEAREST else (None, None)
    own, other = ([row[side] for row in pairs] for side in (0, 1))
    splits = count_splits(made, logits[0].shape[1]) if logits else None
    return SetScores(
        made=made,
        real=real,
        pairs=len(pairs),
        frechet=_measure_frechet(generated_ND, real_MD, seed),
        kernel=kad(generated_ND, real_MD) if medium == "sound" else kid(generated_ND, real_MD),
        density=density,
        coverage=coverage,
        kl_softmax=kl(softmax(logits[1][other]), softmax(logits[0][own])) if logits and pairs else None,
        kl_sigmoid=kl(sigmoid(logits[1][other]), sigmoid(logits[0][own])) if logits and pairs else None,
        inception_score=inception_score(softmax(logits[0]), splits or 1, seed) if logits else None,
        splits=splits,
    )


def _measure_frechet(
    generated_ND: NDArray[np.float32], real_MD: NDArray[np.float32], seed: int
) -> FrechetDistance:
    rows, real_rows = np.arange(len(generated_ND)), np.arange(len(real_MD))
    found = bootstrap.statistic(
        lambda one, other: frechet(generated_ND[one], real_MD[other]), [rows, real_rows], seed, least=0.0
    )
    floor = bootstrap.halves(lambda one, other: frechet(real_MD[one], real_MD[other]), real_rows, seed)
    dims = generated_ND.shape[1]
    return FrechetDistance(
        distance=found.value,
        interval=(found.low, found.high),
        dims=dims,
        too_few=is_too_few(min(len(rows), len(real_rows)), dims),
        infinity=frechet_infinity(generated_ND, real_MD, seed),
        floor=(floor.low, floor.high) if np.isfinite(floor.low) else None,
    )
